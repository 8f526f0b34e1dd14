#include "parallel/pipeline/schedule.h"

#include <algorithm>
#include <set>

#include "runtime/error.h"

namespace masformer {
namespace {

// +1 if an action's result goes to the next part, -1 if to the previous part, 0 if to neither.
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

// The place of the part `distance` parts after the action's own; nothing for 0 and past the model's
// ends.
std::optional<Placement::Place> neighbour(const Schedule& schedule, int stage, const Action& action,
                                          int distance) {
  const int part = schedule.placement.part(stage, action.chunk) + distance;
  if (distance == 0 || part < 0 || part >= schedule.placement.parts()) return std::nullopt;
  return schedule.placement.place(part);
}

std::optional<int> other_stage(const std::optional<Placement::Place>& place, int stage) {
  if (!place || place->stage == stage) return std::nullopt;
  return place->stage;
}

std::optional<Action> same_stage(const std::optional<Placement::Place>& place, int stage,
                                 Action action) {
  if (!place || place->stage != stage) return std::nullopt;
  action.chunk = place->chunk;
  return action;
}

}  // namespace

bool is_evaluation(const std::vector<Action>& actions) {
  return std::ranges::all_of(
      actions, [](const Action& action) { return action.kind == ActionKind::forward; });
}

bool is_evaluation(const Schedule& schedule) {
  return std::ranges::all_of(schedule.actions,
                             [](const auto& actions) { return is_evaluation(actions); });
}

std::optional<int> receives_from(const Schedule& schedule, int stage, const Action& action) {
  return other_stage(neighbour(schedule, stage, action, -direction(action.kind)), stage);
}

std::optional<int> sends_to(const Schedule& schedule, int stage, const Action& action) {
  return other_stage(neighbour(schedule, stage, action, direction(action.kind)), stage);
}

std::optional<Action> hands_over_to(const Schedule& schedule, int stage, const Action& action) {
  return same_stage(neighbour(schedule, stage, action, direction(action.kind)), stage, action);
}

std::optional<Action> takes_over_from(const Schedule& schedule, int stage, const Action& action) {
  return same_stage(neighbour(schedule, stage, action, -direction(action.kind)), stage, action);
}

std::vector<Link> links_of(const Placement& placement) {
  std::set<Link> links;
  for (int part = 1; part < placement.parts(); ++part) {
    const int from = placement.place(part - 1).stage, to = placement.place(part).stage;
    if (from == to) continue;
    links.insert({from, to});  // outputs
    links.insert({to, from});  // gradients
  }
  return {links.begin(), links.end()};
}

std::string to_string(const Action& action) {
  const std::string text =
      fmt::format("{} of micro-batch {}", name_of(action.kind), action.micro_batch);
  return action.chunk == 0 ? text : fmt::format("{} on chunk {}", text, action.chunk);
}

}  // namespace masformer
