// The schedules that the program knows, each made by a pure function of (stages, micro-batches). A
// new one is a function in a file of its own here and an entry in schedule_kinds(): the option
// parallel.schedule, its help and the tests take it from there.
#pragma once

#include <span>
#include <string_view>

#include "parallel/pipeline/schedule.h"

namespace masformer {

// All forwards, then all backwards (GPipe; Huang et al., arXiv 1811.06965). Simple, and the most
// memory: a stage holds the activations of all micro-batches.
Schedule gpipe(int stages, int micro_batches);

// Stage s starts min(micro_batches, stages - s) forwards, then alternates one backward and one
// forward (PipeDream-Flush; Narayanan et al., arXiv 2006.09503). The same idle time as GPipe, and
// at most stages - s micro-batches' activations.
Schedule one_forward_one_backward(int stages, int micro_batches);

// Forwards only, for evaluation, on any placement.
Schedule forward_only(const Placement& placement, int micro_batches);

struct ScheduleKind {
  std::string_view name;  // as in parallel.schedule
  Schedule (*make)(int stages, int micro_batches);
};

std::span<const ScheduleKind> schedule_kinds();

// By its name. Throws UsageError that names the choices.
Schedule make_schedule(std::string_view name, int stages, int micro_batches);

// A schedule without actions, for generators to fill. Throws Error for fewer than one micro-batch.
Schedule empty_schedule(const Placement& placement, int micro_batches);

}  // namespace masformer
