// What each schedule costs in idle time and memory, simulated: for equal stages, and for the mixes
// of the 1.3B model by FLOPs. The links cost nothing. Runs no rank.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "launch/plan/schedule_choice.h"
#include "parallel/pipeline/schedules/least_step.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/part_seconds.h"

namespace masformer::test {
namespace {

constexpr Usage usage{R"(usage: masformer_schedule_table [STAGES [MICRO_BATCHES [SEQUENCE]]]
  STAGES         pipeline stages, at most 12 (default 4)
  MICRO_BATCHES  micro-batches of a step (default: twice the stages)
  SEQUENCE       tokens of a sample (default 8192)
)",
                      3};

struct Choice {
  std::string_view schedule;
  int chunks;
};
constexpr Choice choices[] = {{"gpipe", 1},       {"1f1b", 1}, {"interleaved", 2},
                              {"zero-bubble", 1}, {"auto", 1}, {"zero-bubble-v", 2},
                              {"auto", 2}};

const std::vector<std::string> mixes{"window:1024*24", "full*8,window:1024*16",
                                     "window:1024*16,full*8", "full,window:1024*2"};

ModelConfig model_of(std::string spans, std::int64_t sequence) {
  if (spans == "full,window:1024*2") {  // eight times
    const std::string group = spans;
    for (int i = 1; i < 8; ++i) spans += "," + group;
  }
  return {.hidden = 2048,
          .vocab = 50257,
          .positions = sequence,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 16}, GeluMlpSpec{8192}, {}, {})};
}

void print_row(const Choice& choice, const ScheduleRequest& request, double usual) {
  const Schedule schedule = make_schedule(choice.schedule, request);
  const Simulation result = simulate(schedule, request.costs);
  const double beyond =
      result.seconds -
      slowest_stage_seconds(schedule.placement, request.micro_batches, request.costs);
  const double memory =
      std::ranges::max(peak_memory(schedule, request.memory)) / memory_of_1f1b(request).front();
  fmt::print("| {} | {} | {:.1f}% | {:.2f} | {:.3f} | {:.2f} |\n", choice.schedule, choice.chunks,
             100 * result.idle_share(), beyond / usual, result.seconds, memory);
}

// The bound that no order on this placement beats in the memory of 1F1B.
void print_bound(const Placement& placement, const ScheduleRequest& request, double usual) {
  const double seconds = least_step_seconds(placement, request.micro_batches, request.costs,
                                            request.memory, memory_of_1f1b(request));
  const double beyond =
      seconds - slowest_stage_seconds(placement, request.micro_batches, request.costs);
  fmt::print("| any order, at least | {} | | {:.2f} | {:.3f} | 1.00 |\n", placement.chunks(),
             beyond / usual, seconds);
}

void print_table(const std::string& title, int stages, int micro_batches, auto costs_of_parts,
                 auto memory_of_parts) {
  fmt::print(
      "{}\n\n| schedule | chunks | idle | beyond slowest stage, over 1F1B's | step | memory |\n",
      title);
  fmt::print("| --- | --- | --- | --- | --- | --- |\n");
  const auto request_of = [&](int chunks) {
    ScheduleRequest request{.stages = stages, .micro_batches = micro_batches, .chunks = chunks};
    request.costs.parts = costs_of_parts(stages * chunks);
    request.memory = memory_of_parts(stages * chunks);
    return request;
  };
  const ScheduleRequest one = request_of(1);
  const Schedule usual = one_forward_one_backward(stages, micro_batches);
  const double beyond = simulate(usual, one.costs).seconds -
                        slowest_stage_seconds(usual.placement, micro_batches, one.costs);
  for (const Choice& choice : choices) print_row(choice, request_of(choice.chunks), beyond);
  print_bound(Placement::round_robin(stages), one, beyond);
  print_bound(Placement::v_shape(stages), request_of(2), beyond);
  fmt::print("\n");
}

void run(const Arguments& arguments) {
  const int stages = arguments.number<int>(0, 4);
  const int micro_batches = arguments.number<int>(1, 2 * stages);
  const auto sequence = arguments.number<std::int64_t>(2, 8192);
  if (stages > 12) refuse("24 blocks can't fill two parts on each of {} stages", stages);
  print_table(
      fmt::format("equal passes, {} stages, {} micro-batches; step: in passes of a stage", stages,
                  micro_batches),
      stages, micro_batches,
      [&](int parts) {
        const double pass = static_cast<double>(stages) / parts;
        return std::vector<PassSeconds>(static_cast<std::size_t>(parts), {pass, pass, pass});
      },
      [&](int parts) {
        const double unit = static_cast<double>(stages) / parts;
        return std::vector<PartMemory>(static_cast<std::size_t>(parts), {unit, unit});
      });
  for (const std::string& mix : mixes) {
    const ModelConfig model = model_of(mix, sequence);
    print_table(
        fmt::format("{} ({} blocks), {} tokens; step: seconds at 1 TFLOP/s", mix, model.layers(),
                    sequence),
        stages, micro_batches,
        [&](int parts) {
          return part_seconds(model, even_partition(model.layers(), parts), sequence);
        },
        [&](int parts) { return part_memory(even_partition(model.layers(), parts)); });
  }
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  return masformer::test::run_benchmark(argc, argv, masformer::test::usage, masformer::test::run);
}
