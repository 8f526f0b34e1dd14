// How long a sequence ranks with limited memory can train on, by plan: the longest multiple of
// 1,024 tokens per rank whose weights, optimizer state, activations and buffers fit. One sample at
// a time, fp32 and bf16, without and with recomputation. Runs no rank.
#include <cstdint>
#include <string>

#include <fmt/core.h>

#include "model/cost/layer_times.h"
#include "model/memory/stage_memory.h"
#include "parallel/context/context_order.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "tests/benchmark/arguments.h"

namespace masformer::test {
namespace {

constexpr Usage usage{R"(usage: masformer_context_reach [GIB [SPANS [HIDDEN [HEADS]]]]
  GIB     memory of each rank (default 4)
  SPANS   attention spans (default full*4,window:1024*8)
  HIDDEN  width (default 768)
  HEADS   attention heads (default 12)
)",
                      4};

constexpr std::int64_t granularity = 1024;  // tokens per rank

struct Model {
  std::string spans;
  std::int64_t hidden = 0, heads = 0;

  ModelConfig config() const {
    return {
        .hidden = hidden,
        .vocab = 50257,
        .positions = 0,
        .blocks = blocks_of_spans(parse_spans(spans), {.heads = heads}, GeluMlpSpec{4 * hidden}),
        .positions_kind = PositionsKind::none};
  }
};

std::int64_t memory_of_largest_rank(const Model& model, int ranks, std::int64_t rows, DType dtype,
                                    Recompute recompute) {
  const ModelConfig config = model.config();
  const Mesh mesh{.context = ranks};
  const std::int64_t sequence = ranks * rows;
  const Schedule training = make_schedule("1f1b", {});
  const StagePolicy policy{
      .shape = {1, sequence},
      .sharding = make_sharding({}, sequence, ranks,
                                {context_layers(spans_of(config.blocks), ContextFull::ring)},
                                pairs_per_row(figures_of(Device::cpu), dtype)),
      .recompute = std::vector<Recompute>(static_cast<std::size_t>(config.layers()), recompute),
      .dtype = dtype};
  std::int64_t most = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const StageSpec stage(config, mesh, mesh.coordinate(rank), even_partition(config.layers(), 1),
                          policy);
    const StagePlan plan = plan_stage(stage, Purpose::training, training,
                                      forward_only(training.placement, training.micro_batches));
    most = std::max(most, plan_memory(stage, plan).total());
  }
  return most;
}

// The longest sequence that fits; 0 if none does.
std::int64_t reach(const Model& model, int ranks, DType dtype, Recompute recompute, double gib) {
  const auto fits = [&](std::int64_t units) {
    return static_cast<double>(memory_of_largest_rank(model, ranks, units * granularity, dtype,
                                                      recompute)) <= gib * (1 << 30);
  };
  std::int64_t low = 0, high = 1;
  while (fits(high)) low = high, high *= 2;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low * granularity * ranks;
}

void run(const Arguments& arguments) {
  const auto gib = arguments.number<double>(0, 4);
  const Model model{arguments.text(1, "full*4,window:1024*8"),
                    arguments.number<std::int64_t>(2, 768), arguments.number<std::int64_t>(3, 12)};
  fmt::print("ranks of {} GiB, hidden {}, {} heads, {}\n\n", gib, model.hidden, model.heads,
             model.spans);
  fmt::print("| dtype | recompute | context 1 | context 4 |\n| --- | --- | --- | --- |\n");
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto& [recompute, name] : enum_names<Recompute>) {
      fmt::print("| {} | {} | {} | {} |\n", name_of(dtype), name,
                 reach(model, 1, dtype, recompute, gib), reach(model, 4, dtype, recompute, gib));
    }
  }
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  return masformer::test::run_benchmark(argc, argv, masformer::test::usage, masformer::test::run);
}
