// Measures how much time ZeRO's overlap saves per step. One kind of step sums gradients and gathers
// weights while layers compute; the other sums all gradients after, and gathers all weights before,
// the layers. Both are measured in turns, and the fastest step of each is printed. Every rank is a
// data rank; tests/support/mpirun starts them.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "parallel/comm/mpi/communicator.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/benchmark/training_step.h"

namespace masformer::test {
namespace {

// 29 million parameters and few tokens, because the overlap matters where exchanges take long.
ModelConfig model() {
  return {.hidden = 512,
          .vocab = 8192,
          .positions = 256,
          .blocks = blocks_of_spans(parse_spans("full*8"), {.heads = 8, .scale = 0.125f},
                                    GeluMlpSpec{2048})};
}

// A step that sums gradients and gathers weights while layers compute, or all at once.
class Training {
 public:
  Training(bool overlapped, const Stream& stream, const ProcessGroups& groups, const Mesh& mesh)
      : overlapped_(overlapped),
        step_(model(), DType::f32, stream, groups, mesh, [=](StageSpec& description) {
          // A layer without parameters starts no sum and waits for no weights.
          if (overlapped) return;
          for (ParameterRange& range : description.layer_parameters) range = {};
        }) {}

  void step() {
    Stage& stage = step_.stage();
    const ParameterRange all{0, stage.parameters().size()};
    if (!overlapped_) stage.sync().wait_for(all);
    step_.compute();
    if (!overlapped_) stage.sync().reduce(all);
    step_.update_weights();
  }

 private:
  bool overlapped_;
  TrainingStep step_;
};

void measure(const ProcessGroups& groups, const Mesh& mesh, int threads, int steps) {
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
  const test::Usage usage{"usage: masformer_overlap_benchmark [THREADS (1) [STEPS (10)]]\n", 2};
  return test::run_benchmark(argc, argv, usage, [&](const test::Arguments& arguments) {
    const int threads = arguments.number(0, 1), steps = arguments.number(1, 10);
    const MpiSession session(&argc, &argv);
    auto world = session.world();
    const Mesh mesh{.data = world->size()};
    const ProcessGroups groups = make_process_groups(std::move(world), mesh);
    test::measure(groups, mesh, threads, steps);
  });
}
