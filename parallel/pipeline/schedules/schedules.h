// The schedules that the program knows, each made by a pure function of (stages, micro-batches). A
// new one is a function in a new file in this folder and a row in schedules.cpp. The option
// parallel.schedule, its help and the tests take it from there.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/pipeline/schedule.h"

namespace masformer {

// All forwards, then all backwards (GPipe; Huang et al., arXiv 1811.06965).
Schedule gpipe(int stages, int micro_batches);

// Stage s starts with min(micro_batches, stages - s) forwards, then alternates one backward and one
// forward (1F1B, PipeDream-Flush; Narayanan et al., arXiv 2006.09503).
Schedule one_forward_one_backward(int stages, int micro_batches);

// Only forwards, for evaluation on any placement.
Schedule forward_only(const Placement& placement, int micro_batches);

struct ScheduleKind {
  std::string_view name;  // the value of parallel.schedule
  Schedule (*make)(int stages, int micro_batches);
};

std::span<const ScheduleKind> schedule_kinds();

std::vector<std::string> schedule_names();

// The schedule of that name. Throws UsageError that lists the names if there is none.
Schedule make_schedule(std::string_view name, int stages, int micro_batches);

// A schedule without actions, for generators to fill. Throws Error for fewer than one micro-batch.
Schedule empty_schedule(const Placement& placement, int micro_batches);

}  // namespace masformer
