#include "parallel/pipeline/schedule_timer.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "parallel/pipeline/simulation.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The results that actions hand on: activations to the next part, gradients to the one before.
enum class Result : std::uint8_t { activation, gradient };

struct ResultKey {
  Result result;
  int part, micro_batch;

  auto operator<=>(const ResultKey&) const = default;
};

std::optional<ResultKey> result_of(const Action& action, int part) {
  switch (action.kind) {
    case ActionKind::forward:
      return ResultKey{Result::activation, part, action.micro_batch};
    case ActionKind::backward:
    case ActionKind::backward_input:
      return ResultKey{Result::gradient, part, action.micro_batch};
    case ActionKind::backward_weight:
      return std::nullopt;
  }
  return std::nullopt;
}

// What an action takes from another part; nothing at the ends of the model.
std::optional<ResultKey> needed_by(const Action& action, int part, int parts) {
  std::optional<ResultKey> needed = result_of(action, part);
  if (!needed) return std::nullopt;
  needed->part += needed->result == Result::activation ? -1 : 1;
  return needed->part >= 0 && needed->part < parts ? needed : std::nullopt;
}

}  // namespace

ScheduleTimer::ScheduleTimer(const Schedule& schedule, const HandOffSeconds& hand_off)
    : stages_(static_cast<std::size_t>(schedule.stages())) {
  const Placement& placement = schedule.placement;
  std::map<ResultKey, std::size_t> results;
  std::vector<std::size_t> next(stages_);
  // Whether the next action of a stage had all that it needs, and was added.
  const auto add_next = [&](std::size_t stage) {
    const std::vector<Action>& actions = schedule.actions[stage];
    if (next[stage] == actions.size()) return false;
    const Action& action = actions[next[stage]];
    const int part = placement.part(static_cast<int>(stage), action.chunk);
    Node node{action.kind, static_cast<std::size_t>(part), stage, none};
    if (const auto needed = needed_by(action, part, placement.parts())) {
      const auto source = results.find(*needed);
      if (source == results.end()) return false;
      node.source = source->second;
      if (nodes_[node.source].stage == stage) {
        nodes_[node.source].copy = hand_off.local;
      } else {
        node.delay = hand_off.message;
      }
    }
    if (const auto result = result_of(action, part)) results[*result] = nodes_.size();
    nodes_.push_back(node);
    ++next[stage];
    return true;
  };
  for (bool is_going_on = true; is_going_on;) {
    is_going_on = false;
    for (std::size_t stage = 0; stage < stages_; ++stage) {
      while (add_next(stage)) is_going_on = true;
    }
  }
  std::size_t actions = 0;
  for (const auto& list : schedule.actions) actions += list.size();
  require(nodes_.size() == actions, "{} of {} actions wait for each other", actions - nodes_.size(),
          actions);
}

double ScheduleTimer::seconds(const std::vector<PassSeconds>& parts) const {
  std::vector<double> ends(nodes_.size()), free(stages_);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    double begin = free[node.stage];
    if (node.source != none) begin = std::max(begin, ends[node.source] + node.delay);
    ends[i] = free[node.stage] = begin + seconds_of(node.kind, parts[node.part]) + node.copy;
  }
  return std::ranges::max(free);
}

StepTimer::StepTimer(const std::function<Schedule(int micro_batches)>& make, int stages,
                     int micro_batches, const HandOffSeconds& hand_off)
    : half_(2 * stages), further_(std::max(micro_batches - 2 * half_, 0)) {
  std::vector<int> counts{micro_batches - further_};
  if (further_ > 0) counts.push_back(half_);
  for (const int count : counts) {
    const Schedule schedule = make(count);
    for (const auto& actions : schedule.actions) actions_ += actions.size();
    timers_.emplace_back(schedule, hand_off);
    placement_ = schedule.placement;
  }
}

double StepTimer::seconds(const std::vector<PassSeconds>& parts) const {
  const double first = timers_.front().seconds(parts);
  if (further_ == 0) return first;
  const double each = (first - timers_.back().seconds(parts)) / half_;
  return first + further_ * std::max(each, slowest_stage_seconds(placement_, 1, {.parts = parts}));
}

std::size_t StepTimer::actions() const {
  return actions_;
}

}  // namespace masformer
