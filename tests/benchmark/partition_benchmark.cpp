// Measures what balancing the stages saves: a model whose full layers are bunched at one end trains
// with the partition that a plan chooses, and with an even one, in turns. Two pipeline ranks, or as
// many as mpirun starts; tests/support/mpirun starts them. Prints each pair of steps, the median of
// their ratios, the ratio of two steps of the same partition as a measure of noise, and the ratio
// that the cost model predicted.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/plan/run_plan.h"
#include "model/optimizer.h"
#include "parallel/comm/mpi/communicator.h"
#include "runtime/random.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/support/single_rank.h"

namespace masformer::test {
namespace {

RunPlan plan_of(int stages, std::int64_t sequence, const char* partition) {
  Options options;
  options.model.spans = "full*4,window:128*12";
  options.model.hidden = 128;
  options.model.heads = 2;
  options.train.sequence = sequence;
  options.train.global_batch = 4 * stages;
  options.parallel.pipeline = stages;
  options.parallel.partition = partition;
  return make_run_plan(options, stages, 4096);
}

class Training {
 public:
  Training(const RunPlan& plan, const Stream& stream, const ProcessGroups& groups)
      : stream_(stream),
        groups_(groups),
        tokens_(plan.global_batch * plan.policy.shape.sequence),
        stage_(plan.model, plan.mesh, groups.at, plan.partition, plan.policy, plan.training, stream,
               groups) {
    stage_.stage.parameters().initialise(stream, 1, 0.02);
    stage_.stage.sync().start_all_gathers();
    const std::int64_t sequence = plan.policy.shape.sequence;
    for (int batch = 0; batch < plan.micro_batches; ++batch) {
      std::vector<std::int32_t> words;
      for (std::int64_t i = 0; i <= sequence; ++i) {
        const auto drawn = mix(1, static_cast<std::uint64_t>(batch * sequence + i));
        words.push_back(
            static_cast<std::int32_t>(drawn % static_cast<std::uint64_t>(plan.model.vocab)));
      }
      stage_.stage.set_micro_batch(batch,
                                   {words.data(), words.data() + 1, positions(1, sequence).data()});
    }
  }

  double step() {
    groups_.world->barrier();
    return seconds_of([&] {
      Stage& stage = stage_.stage;
      stage.begin_training(tokens_);
      execute(stream_, stage_.training, *groups_.pipe, stage);
      stage.sync().finish_reduction();
      sum_squared_norm(stream_, stage.parameters(), *groups_.world);
      update(stream_, {.steps = 1000}, ++steps_, stage.parameters(), stage.sync());
      groups_.world->barrier();
    });
  }

 private:
  const Stream& stream_;
  const ProcessGroups& groups_;
  std::int64_t tokens_;
  StageUnderTest stage_;
  int steps_ = 0;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(const ProcessGroups& groups, int threads, int pairs, std::int64_t sequence) {
  const int stages = groups.world->size();
  const RunPlan solved = plan_of(stages, sequence, "auto");
  const RunPlan even = plan_of(stages, sequence, "even");
  const bool prints = groups.world->rank() == 0;
  if (prints) fmt::print("{}", describe(solved));
  const Stream stream(Device::cpu, threads);
  Training with(solved, stream, groups), without(even, stream, groups);
  with.step();
  without.step();
  std::vector<double> ratios, noise;
  for (int pair = 0; pair < pairs; ++pair) {
    const double first = with.step(), other = without.step(), again = with.step();
    ratios.push_back(2 * other / (first + again));
    noise.push_back(std::max(first, again) / std::min(first, again));
    if (!prints) continue;
    fmt::print("auto {:.3f} s, even {:.3f} s, auto {:.3f} s: even over auto {:.3f}\n", first, other,
               again, ratios.back());
  }
  if (!prints) return;
  fmt::print(
      "{} stages, {} threads each, {} tokens: even over auto {:.3f} (median of {}), predicted "
      "{:.3f}; the same twice differs by {:.3f}\n",
      stages, threads, sequence, median(ratios), pairs,
      even.forecast.step_seconds / solved.forecast.step_seconds, median(noise));
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{
      "usage: masformer_partition_benchmark [THREADS (1) [PAIRS (5) [TOKENS (4096)]]]\n", 3};
  return test::run_benchmark(argc, argv, usage, [&](const test::Arguments& arguments) {
    const int threads = arguments.number(0, 1), pairs = arguments.number(1, 5);
    const std::int64_t sequence = arguments.number<std::int64_t>(2, 4096);
    const MpiSession session(&argc, &argv);
    auto world = session.world();
    const Mesh mesh{.pipe = world->size()};
    const ProcessGroups groups = make_process_groups(std::move(world), mesh);
    test::measure(groups, threads, pairs, sequence);
  });
}
