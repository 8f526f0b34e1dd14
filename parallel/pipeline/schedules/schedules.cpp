#include "parallel/pipeline/schedules/schedules.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/ranges.h>

#include "runtime/counted.h"
#include "runtime/error.h"

namespace masformer {
namespace {

using Request = ScheduleRequest;

constexpr int any_number = std::numeric_limits<int>::max();

constexpr std::array kinds{
    ScheduleKind{"gpipe", 1, 1, [](const Request& r) { return gpipe(r.stages, r.micro_batches); }},
    ScheduleKind{
        "1f1b", 1, 1,
        [](const Request& r) { return one_forward_one_backward(r.stages, r.micro_batches); }, true},
    ScheduleKind{"interleaved", 2, any_number,
                 [](const Request& r) { return interleaved(r.stages, r.micro_batches, r.chunks); }},
    ScheduleKind{"zero-bubble", 1, 1,
                 [](const Request& r) { return zero_bubble(r.stages, r.micro_batches); }},
    ScheduleKind{"zero-bubble-v", 2, 2,
                 [](const Request& r) { return zero_bubble_v(r.stages, r.micro_batches); }},
    ScheduleKind{"auto", 1, any_number, automatic},
};

const ScheduleKind& find_kind(std::string_view name) {
  const auto* const found = std::ranges::find(kinds, name, &ScheduleKind::name);
  if (found != kinds.end()) return *found;
  refuse("parallel.schedule={} is not a schedule: use one of {}", name,
         fmt::join(schedule_names(), ", "));
}

std::vector<std::string_view> kinds_with(int chunks) {
  std::vector<std::string_view> names;
  for (const ScheduleKind& kind : kinds) {
    if (chunks >= kind.min_chunks && chunks <= kind.max_chunks) names.push_back(kind.name);
  }
  return names;
}

}  // namespace

std::span<const ScheduleKind> schedule_kinds() {
  return kinds;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const ScheduleKind& kind : kinds) names.emplace_back(kind.name);
  return names;
}

int chunks_of_schedule(std::string_view name, int chunks) {
  const ScheduleKind& kind = find_kind(name);
  if (chunks == 0) return kind.min_chunks;
  if (chunks >= kind.min_chunks && chunks <= kind.max_chunks) return chunks;
  refuse(
      "parallel.schedule={} has {}{} per stage, but parallel.chunks={}: leave it at 0, or "
      "pick a schedule that takes {}: {}",
      name, kind.max_chunks > kind.min_chunks ? "at least " : "", counted(kind.min_chunks, "part"),
      chunks, chunks, fmt::join(kinds_with(chunks), ", "));
}

bool is_1f1b(std::string_view name) {
  return find_kind(name).is_1f1b;
}

Schedule make_schedule(std::string_view name, const ScheduleRequest& request) {
  ScheduleRequest resolved = request;
  resolved.chunks = chunks_of_schedule(name, request.chunks);
  return find_kind(name).make(resolved);
}

Schedule with_fused_backwards(Schedule schedule) {
  std::vector<Action> fused;
  for (const Action& action : schedule.actions.front()) {
    const Action input{ActionKind::backward_input, action.micro_batch, 0};
    const bool fuses = action.kind == ActionKind::backward_weight && action.chunk == 0 &&
                       !fused.empty() && fused.back() == input;
    if (fuses) {
      fused.back().kind = ActionKind::backward;
    } else {
      fused.push_back(action);
    }
  }
  schedule.actions.front() = std::move(fused);
  return schedule;
}

Schedule empty_schedule(const Placement& placement, int micro_batches) {
  require(micro_batches >= 1, "a schedule has {} micro-batches: it must have at least 1",
          micro_batches);
  Schedule schedule{.placement = placement, .micro_batches = micro_batches};
  schedule.actions.resize(static_cast<std::size_t>(placement.stages()));
  return schedule;
}

}  // namespace masformer
