#include "parallel/pipeline/schedules/schedules.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr std::array kinds{
    ScheduleKind{"gpipe", gpipe},
    ScheduleKind{"1f1b", one_forward_one_backward},
};

}  // namespace

std::span<const ScheduleKind> schedule_kinds() {
  return kinds;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const ScheduleKind& kind : kinds) names.emplace_back(kind.name);
  return names;
}

Schedule make_schedule(std::string_view name, int stages, int micro_batches) {
  const auto* const found = std::ranges::find(kinds, name, &ScheduleKind::name);
  if (found != kinds.end()) return found->make(stages, micro_batches);
  refuse("parallel.schedule={} is not a schedule: use one of {}", name,
         fmt::join(schedule_names(), ", "));
}

Schedule empty_schedule(const Placement& placement, int micro_batches) {
  require(micro_batches >= 1, "a schedule has {} micro-batches: it must have at least 1",
          micro_batches);
  Schedule schedule{.placement = placement, .micro_batches = micro_batches};
  schedule.actions.resize(static_cast<std::size_t>(placement.stages()));
  return schedule;
}

}  // namespace masformer
