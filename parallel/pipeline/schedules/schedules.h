// The schedules that the program knows, each made by a pure function of a ScheduleRequest. A new
// one is a function in a new file in this folder and a row in schedules.cpp. The option
// parallel.schedule, its help and the tests take it from there.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/simulation.h"

namespace masformer {

// All forwards, then all backwards (GPipe; Huang et al., arXiv 1811.06965).
Schedule gpipe(int stages, int micro_batches);

// Stage s starts with min(micro_batches, stages - s) forwards, then alternates one backward and one
// forward (1F1B, PipeDream-Flush; Narayanan et al., arXiv 2006.09503).
Schedule one_forward_one_backward(int stages, int micro_batches);

// 1F1B on `chunks` parts per stage, so that filling and draining the pipeline costs stages - 1
// passes of a part instead of a stage (Narayanan et al., arXiv 2104.04473, section 2.2). Any number
// of micro-batches; if the stages divide it, and there are not 2 of them, the order is
// Megatron-LM's. Stage s holds at most 2 * (stages - 1 - s) + (chunks - 1) * stages + 1 parts; 2 *
// chunks if there are 2 stages.
Schedule interleaved(int stages, int micro_batches, int chunks);

// ZB-H1 (Qi et al., arXiv 2401.10241, section 3): 1F1B whose weight gradients are put off. With
// equal stages it is idle for (stages - 1) * (forward + backward_input - backward_weight), and
// every stage holds what the first stage of 1F1B holds.
Schedule zero_bubble(int stages, int micro_batches);

// ZB-V (the same paper, section 4): Placement::v_shape, and in the memory of 1F1B nearly no idle
// time. With equal passes and at least as many micro-batches as stages, it is idle for at most
// 2 * stages - 1 passes of a part, where the published order needs stages - 1, but links that ours
// are not (zero_bubble_v.cpp).
Schedule zero_bubble_v(int stages, int micro_batches);

// Only forwards, for evaluation on any placement.
Schedule forward_only(const Placement& placement, int micro_batches);

// What a schedule is made for.
struct ScheduleRequest {
  int stages = 1;
  int micro_batches = 1;
  int chunks = 0;  // parts per stage; 0: the schedule's own number

  // Only `auto` uses what follows.
  PipelineCosts costs;               // costs.parts empty: all passes take the same time
  std::vector<PartMemory> memory;    // [part]; empty: one unit each
  std::vector<double> memory_limit;  // [stage]; empty: memory_of_1f1b()
};

// The schedule that takes the least simulated time among those that fit the memory: all others of
// this list that take that number of chunks, and orders that the list scheduler makes from the
// costs on Placement::round_robin, and with two chunks on Placement::v_shape, improved by a search.
// If none fits, the one that exceeds the memory least. Deterministic. `chunks` is not 0. Throws
// Error unless costs and limits are those of as many parts and stages.
Schedule automatic(const ScheduleRequest& request);

// On every stage, what 1F1B holds on the stage where it holds most, if each stage had `chunks`
// consecutive parts.
std::vector<double> memory_of_1f1b(const ScheduleRequest& request);

struct ScheduleKind {
  std::string_view name;  // the value of parallel.schedule
  int min_chunks, max_chunks;
  // The request's chunks are within these limits.
  Schedule (*make)(const ScheduleRequest& request);
  bool is_1f1b = false;  // whether balance.h's formula gives the time of its step
};

std::span<const ScheduleKind> schedule_kinds();

std::vector<std::string> schedule_names();

// The number of parts per stage of the schedule of that name: `chunks`, or its own number for 0.
// Throws UsageError that lists the names, or the possible numbers.
int chunks_of_schedule(std::string_view name, int chunks);

// Whether it is 1F1B. Throws UsageError that lists the names.
bool is_1f1b(std::string_view name);

// The schedule of that name. Throws UsageError as chunks_of_schedule() does.
Schedule make_schedule(std::string_view name, const ScheduleRequest& request);

// Makes a fused backward of each backward_input of the first part that its backward_weight follows
// at once: no stage waits for that input gradient, and a fused backward frees activations layer by
// layer.
Schedule with_fused_backwards(Schedule schedule);

// A schedule without actions, for generators to fill. Throws Error for fewer than one micro-batch.
Schedule empty_schedule(const Placement& placement, int micro_batches);

}  // namespace masformer
