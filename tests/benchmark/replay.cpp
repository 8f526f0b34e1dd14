// Compares simulated pipelines with real ones in which the ranks wait out their costs instead of
// computing: the real executor, real messages, and any number of stages on few cores. Each stage of
// each case sleeps for its part's seconds, and polls MPI meanwhile as computing ranks do.
// tests/support/mpirun starts the ranks, one per stage.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <sys/prctl.h>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/pipeline/executor.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "parallel/pipeline/simulation.h"
#include "runtime/random.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"

namespace masformer::test {
namespace {

constexpr std::int64_t message_elements = 16384;
constexpr auto poll_interval = std::chrono::microseconds(50);

class SleepingStage final : public PipelineStage {
 public:
  SleepingStage(const Schedule& schedule, const PipelineCosts& costs, Communicator& pipe)
      : schedule_(schedule),
        costs_(costs),
        pipe_(pipe),
        inputs_(buffers(schedule.chunks() * schedule.micro_batches)),
        outputs_(buffers(schedule.chunks() * schedule.micro_batches)),
        gradients_(buffers(schedule.chunks())),
        output_gradients_(buffers(schedule.chunks() * schedule.micro_batches)) {}

  Tensor input(const Action& action) override { return inputs_[slot(action)]; }
  Tensor output(const Action& action) override { return outputs_[slot(action)]; }
  Tensor input_gradient(const Action& action) override {
    return gradients_[static_cast<std::size_t>(action.chunk)];
  }
  Tensor output_gradient(const Action& action) override { return output_gradients_[slot(action)]; }

  void run(const Action& action) override {
    const int part = schedule_.placement.part(pipe_.rank(), action.chunk);
    const double seconds = seconds_of(action.kind, costs_.parts[static_cast<std::size_t>(part)]);
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() + poll_interval < end) {
      pipe_.progress();
      std::this_thread::sleep_for(poll_interval);
    }
    std::this_thread::sleep_until(end);
  }

 private:
  static std::vector<OwnedTensor> buffers(int count) {
    std::vector<OwnedTensor> all;
    for (int i = 0; i < count; ++i) all.emplace_back(Shape{message_elements});
    return all;
  }
  std::size_t slot(const Action& action) const {
    return static_cast<std::size_t>(action.chunk * schedule_.micro_batches + action.micro_batch);
  }

  const Schedule& schedule_;
  const PipelineCosts& costs_;
  Communicator& pipe_;
  std::vector<OwnedTensor> inputs_, outputs_, gradients_, output_gradients_;
};

struct Mix {
  const char* name;
  std::function<PassSeconds(int part, int parts)> cost;
};

constexpr double unit = 10e-3;

const std::vector<Mix>& mixes() {
  static const std::vector<Mix> all{
      {"equal",
       [](int, int) {
         return PassSeconds{unit, unit, unit};
       }},
      {"a slow head",
       [](int part, int parts) {
         const double factor = part == parts - 1 ? 1.6 : 1;
         return PassSeconds{factor * unit, 1.4 * factor * unit, 0.6 * unit};
       }},
      {"a slow first part",
       [](int part, int) {
         const double factor = part == 0 ? 1.5 : 1;
         return PassSeconds{factor * unit, 1.1 * factor * unit, 0.9 * factor * unit};
       }},
      {"random", [](int part, int) {
         const auto draw = [&](std::uint64_t pass) {
           return unit *
                  (0.6 +
                   static_cast<double>(mix(static_cast<std::uint64_t>(part), pass) % 1000) / 1000);
         };
         return PassSeconds{draw(1), draw(2), draw(3)};
       }}};
  return all;
}

double measure(const Stream& stream, Communicator& pipe, const Schedule& schedule,
               const PipelineCosts& costs) {
  SleepingStage stage(schedule, costs, pipe);
  pipe.barrier();
  double seconds = seconds_of([&] { static_cast<void>(execute(stream, schedule, pipe, stage)); });
  pipe.all_reduce(Tensor(&seconds, {1}, DType::f64, Device::cpu), Reduction::max).wait();
  return seconds;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Half of the time that a message takes there and back.
LinkCosts measure_link(Communicator& pipe) {
  const OwnedTensor message({message_elements});
  std::vector<double> seconds;
  for (int i = 0; i < 101; ++i) {
    pipe.barrier();
    seconds.push_back(seconds_of([&] {
      if (pipe.rank() == 0) {
        pipe.send(message, 1).wait();
        pipe.receive(message, 1).wait();
      } else if (pipe.rank() == 1) {
        pipe.receive(message, 0).wait();
        pipe.send(message, 0).wait();
      }
    }));
  }
  double latency = median(seconds) / 2;
  pipe.broadcast(Tensor(&latency, {1}, DType::f64, Device::cpu), 0).wait();
  return {.latency = latency, .rendezvous = true};
}

void compare_all(const Stream& stream, Communicator& pipe, int runs) {
  const LinkCosts link = measure_link(pipe);
  const bool first = pipe.rank() == 0;
  const int stages = pipe.size();
  if (first) {
    fmt::print(
        "{} stages, parts of about {:.0f} ms a pass, messages of {} kB in {:.0f} us, "
        "medians of {}\n\n"
        "| schedule | micro-batches | costs | simulated, ms | measured, ms | error | the "
        "same twice |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        stages, 1e3 * unit, message_elements * 4 / 1000, 1e6 * link.latency, runs);
  }
  std::vector<double> errors;
  for (const ScheduleKind& kind : schedule_kinds()) {
    for (const int micro_batches : {stages, 2 * stages + 1}) {
      const Schedule schedule =
          make_schedule(kind.name, {.stages = stages, .micro_batches = micro_batches});
      for (const Mix& mix : mixes()) {
        PipelineCosts costs{.parts = {}, .link = link};
        const int parts = schedule.placement.parts();
        for (int part = 0; part < parts; ++part) costs.parts.push_back(mix.cost(part, parts));
        const double simulated = simulate(schedule, costs).seconds;
        std::vector<double> measured, again;
        for (int run = 0; run < runs; ++run) {
          measured.push_back(measure(stream, pipe, schedule, costs));
          again.push_back(measure(stream, pipe, schedule, costs));
        }
        const double seconds = median(measured);
        errors.push_back(std::abs(simulated / seconds - 1));
        if (!first) continue;
        fmt::print("| {} | {} | {} | {:.1f} | {:.1f} | {:+.2f}% | {:+.2f}% |\n", kind.name,
                   micro_batches, mix.name, 1e3 * simulated, 1e3 * seconds,
                   100 * (simulated / seconds - 1), 100 * (median(again) / seconds - 1));
      }
    }
  }
  if (!first) return;
  double sum = 0;
  for (const double error : errors) sum += error;
  fmt::print("\n{} cases: error {:.2f}% on average, {:.2f}% at most\n", errors.size(),
             100 * sum / static_cast<double>(errors.size()), 100 * std::ranges::max(errors));
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{"usage: masformer_replay_benchmark [RUNS (3)]\n", 1};
  return test::run_benchmark(argc, argv, usage, [&](const test::Arguments& arguments) {
    const int runs = arguments.number(0, 3);
    const MpiSession session(&argc, &argv);
    const auto world = session.world();
    prctl(PR_SET_TIMERSLACK, 1UL);
    const Stream stream(Device::cpu, 1);
    test::compare_all(stream, *world, runs);
  });
}
