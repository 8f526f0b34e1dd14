#include "parallel/pipeline/schedules/list_scheduler.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

struct ListPart {
  int forwards = 0, inputs = 0, weights = 0;  // that have started
  // [micro-batch]: when the operands of its forward and backward_input are on this stage; `never`
  // if that is not known yet.
  std::vector<double> forward_ready, input_ready;
};

struct ListStage {
  double free = 0;  // when its last action ends
  double held = 0;  // memory
};

// The message on a link: the part whose action takes it.
struct ListMessage {
  int part = -1;
  bool forward = false;
};

struct ListCandidate {
  ActionKind kind;
  int part;
  double ready;
};

class ListScheduler {
 public:
  ListScheduler(const Placement& placement, int micro_batches, const ListRules& rules)
      : rules_(rules),
        result_(empty_schedule(placement, micro_batches)),
        parts_(static_cast<std::size_t>(placement.parts())),
        stages_(static_cast<std::size_t>(placement.stages())),
        links_(stages_.size() * stages_.size()) {
    check_costs(placement, rules.costs);
    check_memory_sizes(placement, rules.memory, rules.memory_limit);
    for (ListPart& part : parts_) {
      part.forward_ready.assign(static_cast<std::size_t>(micro_batches), never);
      part.input_ready.assign(static_cast<std::size_t>(micro_batches), never);
    }
    std::ranges::fill(parts_.front().forward_ready, 0);
  }

  std::optional<Schedule> run() && {
    for (int stage = 0; stage < result_.stages(); ++stage) events_.push({0, stage});
    while (!events_.empty()) {
      const auto [now, stage] = events_.top();
      events_.pop();
      decide(stage, now);
    }
    const bool complete = std::ranges::all_of(
        parts_, [&](const ListPart& part) { return part.weights == result_.micro_batches; });
    if (!complete) return std::nullopt;
    return with_fused_backwards(std::move(result_));
  }

 private:
  // Something changed for a stage at this time. Earlier times come first, then lower stages.
  using Event = std::pair<double, int>;

  const Placement& placement() const { return result_.placement; }
  ListPart& part(int number) { return parts_[static_cast<std::size_t>(number)]; }
  ListStage& stage_at(int stage) { return stages_[static_cast<std::size_t>(stage)]; }
  std::optional<ListMessage>& link(int from, int to) {
    const int place = from * result_.stages() + to;
    return links_[static_cast<std::size_t>(place)];
  }
  PartMemory memory(int number) const {
    return rules_.memory.empty() ? PartMemory{} : rules_.memory[static_cast<std::size_t>(number)];
  }
  double seconds(ActionKind kind, int number) const {
    return slowdown_of(rules_.costs.slowdown, stage_of(number)) *
           seconds_of(kind, rules_.costs.parts[static_cast<std::size_t>(number)]);
  }
  // The stage of a part; -1 if there is no such part.
  int stage_of(int number) const {
    return number < 0 || number >= placement().parts() ? -1 : placement().place(number).stage;
  }

  // Whether the part's next action can take its input off the link, and leave its result there.
  bool links_allow(int number, bool forward) {
    const int stage = stage_of(number), step = forward ? 1 : -1;
    const int from = stage_of(number - step), to = stage_of(number + step);
    if (from >= 0 && from != stage) {
      const auto& message = link(from, stage);
      if (!message || message->part != number || message->forward != forward) return false;
    }
    return to < 0 || to == stage || !link(stage, to);
  }

  // Leaves room for the later chunks of one micro-batch, without which nothing could be freed.
  bool memory_allows(int stage, int number, int chunk) {
    double needed = stage_at(stage).held + memory(number).until_input;
    for (int later = chunk + 1; later < placement().chunks(); ++later) {
      const int other = placement().part(stage, later);
      if (part(other).forwards == part(other).inputs) needed += memory(other).until_input;
    }
    return fits_memory(needed, rules_.memory_limit[static_cast<std::size_t>(stage)]);
  }

  // The forwards and backward_inputs that could start if their input were there. Earlier ones are
  // preferred among those of one kind.
  std::vector<ListCandidate> candidates(int stage) {
    std::vector<ListCandidate> all;
    const int chunks = placement().chunks();
    for (int i = 0; i < chunks; ++i) {
      const int chunk = rules_.preferences.early_parts_first ? i : chunks - 1 - i;
      const int number = placement().part(stage, chunk);
      const ListPart& own = part(number);
      if (own.inputs == own.forwards || !links_allow(number, false)) continue;
      all.push_back({ActionKind::backward_input, number,
                     own.input_ready[static_cast<std::size_t>(own.inputs)]});
    }
    for (int chunk = chunks; chunk-- > 0;) {
      const int number = placement().part(stage, chunk);
      const ListPart& own = part(number);
      if (own.forwards == result_.micro_batches || !links_allow(number, true)) continue;
      if (!memory_allows(stage, number, chunk)) continue;
      all.push_back(
          {ActionKind::forward, number, own.forward_ready[static_cast<std::size_t>(own.forwards)]});
    }
    return all;
  }

  bool forward_first(int stage) const {
    switch (rules_.preferences.forward) {
      case ListPreferences::Forward::last:
        return false;
      case ListPreferences::Forward::first:
        return true;
      case ListPreferences::Forward::in_turn: {
        const auto& actions = result_.actions[static_cast<std::size_t>(stage)];
        return !actions.empty() && actions.back().kind == ActionKind::backward_input;
      }
    }
    fail("unknown preference");
  }

  void decide(int stage, double now) {
    if (stage_at(stage).free > now) return;
    const std::vector<ListCandidate> all = candidates(stage);
    const ListCandidate* best = nullptr;
    double next = never;  // when the first input that is on its way arrives
    const bool forwards_first = forward_first(stage);
    for (const ListCandidate& each : all) {
      if (each.ready > now) {
        next = std::min(next, each.ready);
      } else if (best == nullptr || (forwards_first && best->kind != ActionKind::forward &&
                                     each.kind == ActionKind::forward)) {
        best = &each;
      }
    }
    if (best != nullptr) return start(stage, best->kind, best->part, now);
    for (int chunk = placement().chunks(); chunk-- > 0;) {
      const int number = placement().part(stage, chunk);
      if (part(number).weights == part(number).inputs) continue;
      const double length = seconds(ActionKind::backward_weight, number);
      if (now + length * (1 - rules_.preferences.delay) <= next) {
        return start(stage, ActionKind::backward_weight, number, now);
      }
    }
    if (next < never) events_.push({next, stage});
  }

  void start(int stage, ActionKind kind, int number, double now) {
    const double end = now + seconds(kind, number);
    ListPart& own = part(number);
    const PartMemory units = memory(number);
    ListStage& at = stage_at(stage);
    int micro_batch = 0;
    if (kind == ActionKind::forward) {
      micro_batch = own.forwards++;
      at.held += units.until_input;
    } else if (kind == ActionKind::backward_input) {
      micro_batch = own.inputs++;
      at.held += units.until_weight - units.until_input;
    } else {
      micro_batch = own.weights++;
      at.held -= units.until_weight;
    }
    result_.actions[static_cast<std::size_t>(stage)].push_back(
        {kind, micro_batch, placement().place(number).chunk});
    at.free = end;
    events_.push({end, stage});
    if (kind == ActionKind::backward_weight) return;
    const bool forward = kind == ActionKind::forward;
    const int from = stage_of(forward ? number - 1 : number + 1);
    if (from >= 0 && from != stage) {
      link(from, stage).reset();
      events_.push({now, from});
    }
    pass_on(stage, number, forward, micro_batch, end);
  }

  void pass_on(int stage, int number, bool forward, int micro_batch, double end) {
    const auto place = static_cast<std::size_t>(micro_batch);
    if (forward && number + 1 == placement().parts()) {
      part(number).input_ready[place] = end;
      return;
    }
    const int next = forward ? number + 1 : number - 1, to = stage_of(next);
    if (to < 0) return;
    if (to != stage) link(stage, to) = ListMessage{next, forward};
    const LinkCosts& costs = rules_.costs.link;
    const double arrival = end + (to == stage ? rules_.costs.hand_over_seconds *
                                                    slowdown_of(rules_.costs.slowdown, stage)
                                              : costs.latency + costs.transfer_seconds());
    (forward ? part(next).forward_ready : part(next).input_ready)[place] = arrival;
    events_.push({arrival, to});
  }

  const ListRules& rules_;
  Schedule result_;
  std::vector<ListPart> parts_;
  std::vector<ListStage> stages_;
  std::vector<std::optional<ListMessage>> links_;  // [from, to]
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

std::optional<Schedule> list_schedule(const Placement& placement, int micro_batches,
                                      const ListRules& rules) {
  return ListScheduler(placement, micro_batches, rules).run();
}

}  // namespace masformer
