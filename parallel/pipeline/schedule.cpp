#include "parallel/pipeline/schedule.h"

#include <algorithm>

#include "runtime/error.h"

namespace masformer {
namespace {

Schedule empty_schedule(int stages, int micro_batches) {
  require(stages >= 1 && micro_batches >= 1,
          "there is no schedule of {} micro-batches on {} stages: both must be at least 1",
          micro_batches, stages);
  Schedule schedule;
  schedule.stages = stages;
  schedule.micro_batches = micro_batches;
  schedule.actions.resize(static_cast<std::size_t>(stages));
  return schedule;
}

// +1 where an action's result goes to the next part, -1 for the previous one, 0 for neither.
int direction(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward:
      return 1;
    case ActionKind::backward:
    case ActionKind::backward_input:
      return -1;
    case ActionKind::backward_weight:
      return 0;
  }
  fail("unknown action {}", static_cast<int>(kind));
}

// The stage of the part `distance` after the action's own; none past the ends of the model.
std::optional<int> neighbour(const Schedule& schedule, int stage, const Action& action,
                             int distance) {
  const int part = schedule.part(stage, action.chunk) + distance;
  if (distance == 0 || part < 0 || part >= schedule.parts()) return std::nullopt;
  return part % schedule.stages;
}

std::string_view name_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward:
      return "forward";
    case ActionKind::backward:
      return "backward";
    case ActionKind::backward_input:
      return "backward-input";
    case ActionKind::backward_weight:
      return "backward-weight";
  }
  fail("unknown action {}", static_cast<int>(kind));
}

}  // namespace

Schedule forward_only(int stages, int micro_batches) {
  Schedule schedule = empty_schedule(stages, micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::forward, i, 0});
  }
  return schedule;
}

Schedule gpipe(int stages, int micro_batches) {
  Schedule schedule = forward_only(stages, micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::backward, i, 0});
  }
  return schedule;
}

Schedule one_forward_one_backward(int stages, int micro_batches) {
  Schedule schedule = empty_schedule(stages, micro_batches);
  for (int stage = 0; stage < stages; ++stage) {
    auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
    const int ahead = std::min(micro_batches, stages - stage);
    for (int i = 0; i < ahead; ++i) actions.push_back({ActionKind::forward, i, 0});
    for (int i = 0; i < micro_batches; ++i) {
      actions.push_back({ActionKind::backward, i, 0});
      if (i + ahead < micro_batches) actions.push_back({ActionKind::forward, i + ahead, 0});
    }
  }
  return schedule;
}

Schedule make_schedule(std::string_view name, int stages, int micro_batches) {
  if (name == "gpipe") return gpipe(stages, micro_batches);
  if (name == "1f1b") return one_forward_one_backward(stages, micro_batches);
  refuse("parallel.schedule={} is not a schedule: pick gpipe or 1f1b", name);
}

bool is_evaluation(const Schedule& schedule) {
  return std::all_of(schedule.actions.begin(), schedule.actions.end(), [](const auto& actions) {
    return std::all_of(actions.begin(), actions.end(),
                       [](const Action& action) { return action.kind == ActionKind::forward; });
  });
}

std::optional<int> receives_from(const Schedule& schedule, int stage, const Action& action) {
  return neighbour(schedule, stage, action, -direction(action.kind));
}

std::optional<int> sends_to(const Schedule& schedule, int stage, const Action& action) {
  return neighbour(schedule, stage, action, direction(action.kind));
}

std::string to_string(const Action& action) {
  const std::string text =
      fmt::format("{} of micro-batch {}", name_of(action.kind), action.micro_batch);
  return action.chunk == 0 ? text : fmt::format("{} on chunk {}", text, action.chunk);
}

}  // namespace masformer
