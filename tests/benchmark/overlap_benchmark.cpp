// What ZeRO's overlap saves of a step: gradients that are summed and weights that are gathered
// while layers compute, beside the same all at once, before and after. In turns, and the fastest of
// each; every rank is a data rank.
//
//   tests/support/mpirun RANKS masformer_overlap_benchmark [THREADS [STEPS]]
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "parallel/mpi_communicator.h"
#include "runtime/random.h"
#include "tests/benchmark/measure.h"
#include "tests/support/single_rank.h"

namespace masformer::test {
namespace {

constexpr std::int64_t sequence = 256;

// 29 million parameters: few tokens for them, as where the overlap counts.
ModelConfig model() {
  return {.layers = 8,
          .hidden = 512,
          .heads = 8,
          .ffn = 2048,
          .vocab = 8192,
          .positions = sequence,
          .spans = parse_spans("full*8"),
          .attention_scale = 0.125f};
}

class Training {
 public:
  Training(bool overlapped, const Stream& stream, const Communicators& groups, const Mesh& mesh)
      : overlapped_(overlapped),
        stream_(stream),
        groups_(groups),
        under_test_(model(), mesh, groups.at, even_partition(8, 1), {.shape = {1, sequence}},
                    gpipe(1, 1), stream, groups, [=](StageDescription& description) {
                      // A layer that has no parameters starts no sum and waits for no weights.
                      if (overlapped) return;
                      for (ParameterRange& range : description.layer_parameters) range = {};
                    }) {
    stage().parameters().initialise(stream, 1, 0.02);
    stage().sync().publish_all();
    std::vector<std::int32_t> words;
    for (std::uint64_t i = 0; i <= sequence; ++i) {
      words.push_back(static_cast<std::int32_t>(mix(1, i) % 8192));
    }
    stage().set_micro_batch(0, words.data(), words.data() + 1, positions(1, sequence).data());
  }

  void step() {
    const ParameterRange all{0, stage().parameters().size()};
    if (!overlapped_) stage().sync().need(all);
    stage().begin_training(sequence * groups_.data->size());
    execute(under_test_.training, *groups_.pipe, stage());
    if (!overlapped_) stage().sync().reduce(all);
    stage().sync().finish_reduction();
    const double norm = gradient_norm(stream_, stage().parameters(), *groups_.world);
    update(stream_, {.steps = 1000}, ++steps_, norm, stage().parameters(), stage().sync());
  }

 private:
  Stage& stage() { return under_test_.stage; }

  bool overlapped_;
  const Stream& stream_;
  const Communicators& groups_;
  StageUnderTest under_test_;
  int steps_ = 0;
};

void measure(const Communicators& groups, const Mesh& mesh, int threads, int steps) {
  const Stream stream(Device::cpu, threads);
  Training overlapped(true, stream, groups, mesh), apart(false, stream, groups, mesh);
  double with = std::numeric_limits<double>::infinity(), without = with;
  for (int i = 0; i < steps; ++i) {
    groups.world->barrier();
    with = std::min(with, seconds_of([&] { overlapped.step(); }));
    groups.world->barrier();
    without = std::min(without, seconds_of([&] { apart.step(); }));
  }
  if (groups.world->rank() != 0) return;
  fmt::print("{} data ranks, {} threads each, fastest of {} steps\n", mesh.data, threads, steps);
  fmt::print("overlapped {:.3f} s, all at once {:.3f} s, ratio {:.3f}\n", with, without,
             with / without);
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const MpiSession session(&argc, &argv);
  auto world = session.world();
  const Mesh mesh{.data = world->size()};
  const Communicators groups = make_communicators(std::move(world), mesh);
  test::measure(groups, mesh, argc > 1 ? std::atoi(argv[1]) : 1,
                argc > 2 ? std::atoi(argv[2]) : 10);
}
