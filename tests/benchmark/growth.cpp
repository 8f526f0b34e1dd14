// Measures how the time before and after training grows with the size of the job. Each line is one
// task at one size. The line of the largest size ends with the power of the size that fits the two
// largest sizes; 1 is linear.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "model/memory/stage_memory.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/comm/self_communicator.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/support/many_tensors.h"
#include "tests/support/synthetic_checkpoint.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

struct Task {
  std::string name;
  std::string unit;  // what `sizes` count
  std::vector<std::int64_t> sizes;
  std::function<double(std::int64_t size)> seconds;
};

const std::vector<std::int64_t> tensor_counts{1000, 4000, 16000};

double write_manifest(std::int64_t tensors) {
  const Manifest manifest = many_tensors(static_cast<int>(tensors));
  return fastest(3, 0, [&] { checkpoint::to_text(manifest); });
}

double read_manifest_text(std::int64_t tensors) {
  const std::string text = checkpoint::to_text(many_tensors(static_cast<int>(tensors)));
  return fastest(3, 0, [&] { checkpoint::parse_manifest(text); });
}

// Tensors of one element: measures everything but the data itself.
SyntheticPieces small_tensors(std::int64_t count) {
  SyntheticPieces pieces;
  for (std::int64_t i = 0; i < count; ++i) {
    pieces.add(fmt::format("transformer.h.{}.mlp.c_fc.weight", i), {1}, whole({1}));
  }
  return pieces;
}

double save_checkpoint(std::int64_t tensors) {
  const TemporaryDirectory folder;
  const SyntheticPieces pieces = small_tensors(tensors);
  SelfCommunicator alone;
  return fastest(2, 0, [&] { write_checkpoint(alone, folder / "step-1", {}, pieces.all()); });
}

double load_checkpoint(std::int64_t tensors) {
  const TemporaryDirectory folder;
  SelfCommunicator alone;
  write_checkpoint(alone, folder / "step-1", {}, small_tensors(tensors).all());
  return fastest(2, 0, [&] {
    CheckpointReader reader(folder / "step-1");
    require_undamaged(alone, folder / "step-1", reader.manifest());
    for (const auto& [name, tensor] : reader.manifest().tensors)
      read_bits(reader, name, whole({1}));
  });
}

// The planning of every rank before it allocates memory: the schedules, and the memory of all
// stages.
double plan(int layers, int micro_batches, int stages) {
  const ModelConfig model{
      .hidden = 64,
      .vocab = 257,
      .positions = 64,
      .blocks = blocks_of_spans(std::vector<Span>(static_cast<std::size_t>(layers)), {.heads = 4},
                                GeluMlpSpec{256})};
  const Mesh mesh{.pipe = stages};
  const Partition partition = even_partition(layers, stages);
  return fastest(1, 0, [&] {
    const Schedule training = one_forward_one_backward(stages, micro_batches);
    const Schedule evaluation = forward_only(training.placement, micro_batches);
    validate(training);
    validate(evaluation);
    for (int stage = 0; stage < stages; ++stage) {
      const StageSpec spec(model, mesh, {.pipe = stage}, partition, {.shape = {1, 64}});
      plan_stage(spec, Purpose::training, training, evaluation);
    }
  });
}

double plan_layers(std::int64_t layers) {
  return plan(static_cast<int>(layers), 64, 1);
}

double plan_micro_batches(std::int64_t micro_batches) {
  return plan(24, static_cast<int>(micro_batches), 1);
}

double plan_stages(std::int64_t stages) {
  return plan(256, 64, static_cast<int>(stages));
}

const std::vector<Task> tasks{
    {"plan a run", "layers", {256, 1024, 4096}, plan_layers},
    {"plan a run", "batches", {512, 2048, 8192}, plan_micro_batches},
    {"plan a run", "stages", {4, 16, 64}, plan_stages},
    {"write a manifest", "tensors", tensor_counts, write_manifest},
    {"read a manifest", "tensors", tensor_counts, read_manifest_text},
    {"save a checkpoint", "tensors", tensor_counts, save_checkpoint},
    {"load a checkpoint", "tensors", tensor_counts, load_checkpoint},
};

void measure(const Task& task) {
  double size_before = 0, before = 0;
  for (const std::int64_t count : task.sizes) {
    const auto size = static_cast<double>(count);
    const double seconds = task.seconds(count);
    fmt::print("{:<20}{:>8} {:<8}{:>10.4f} s", task.name, count, task.unit, seconds);
    if (count == task.sizes.back() && size_before > 0) {
      fmt::print("   power {:.2f}", std::log(seconds / before) / std::log(size / size_before));
    }
    fmt::print("\n");
    std::fflush(stdout);
    size_before = size;
    before = seconds;
  }
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{"usage: masformer_growth_benchmark\n", 0};
  return test::run_benchmark(argc, argv, usage, [](const test::Arguments&) {
    for (const auto& task : test::tasks) test::measure(task);
  });
}
