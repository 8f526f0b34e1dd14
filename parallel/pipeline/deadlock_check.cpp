#include "parallel/pipeline/deadlock_check.h"

#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

bool is_forward(const Action& action) {
  return action.kind == ActionKind::forward;
}

// What one part sends to another.
struct Message {
  bool output;  // false: a gradient
  int part;     // the part that receives it
  int micro_batch;

  bool operator==(const Message&) const = default;
};

std::string describe(const Message& message) {
  return fmt::format("{} of micro-batch {} for part {}", message.output ? "output" : "gradient",
                     message.micro_batch, message.part);
}

// Stages take turns. Their order does not change the outcome, because each link has one writer and
// one reader.
class DeadlockCheck {
 public:
  explicit DeadlockCheck(const Schedule& schedule)
      : schedule_(schedule),
        evaluation_(is_evaluation(schedule)),
        done_(schedule.actions.size()),
        has_input_(schedule.actions.size()),
        handed_over_(schedule.actions.size()),
        links_(schedule.actions.size() * schedule.actions.size()) {}

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (int stage = 0; stage < schedule_.stages(); ++stage) {
        while (ask(stage) || act(stage)) moved = true;
      }
    }
    std::vector<std::string> stuck;
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      if (!finished(stage)) stuck.push_back(why_stuck(stage));
    }
    require(stuck.empty(), "the schedule does not run to its end: {}", fmt::join(stuck, "; "));
  }

 private:
  using Link = std::optional<Message>;  // the message that its receiver has not received yet

  Link& link(int from, int to) {
    const int index = from * schedule_.stages() + to;
    return links_[static_cast<std::size_t>(index)];
  }
  char& has_input(int stage) { return has_input_[static_cast<std::size_t>(stage)]; }
  // The inputs that a stage has handed over to itself.
  using Inputs = std::set<std::tuple<bool, int, int>>;  // forward, chunk, micro-batch
  Inputs& handed_over(int stage) { return handed_over_[static_cast<std::size_t>(stage)]; }
  static Inputs::key_type key(const Action& action) {
    return {is_forward(action), action.chunk, action.micro_batch};
  }
  std::size_t& done(int stage) { return done_[static_cast<std::size_t>(stage)]; }
  const std::vector<Action>& actions(int stage) const {
    return schedule_.actions[static_cast<std::size_t>(stage)];
  }
  bool finished(int stage) { return done(stage) == actions(stage).size(); }
  const Action& next(int stage) { return actions(stage)[done(stage)]; }

  // The stage that must receive a message before `stage` may ask for the input of its next action.
  std::optional<int> blocks_asking(int stage) {
    const Action& action = next(stage);
    for (int to = 0; to < schedule_.stages(); ++to) {
      const Link& sent = link(stage, to);
      const bool same_buffer = sent && !sent->output && !is_forward(action) &&
                               sent->part == schedule_.placement.part(stage, action.chunk) - 1 &&
                               sends_to(schedule_, stage, action);
      if (sent && (evaluation_ || same_buffer)) return to;
    }
    return std::nullopt;
  }

  // The stage from which the input of `stage`'s next action is still missing.
  std::optional<int> awaited_sender(int stage) {
    const std::optional<int> from = receives_from(schedule_, stage, next(stage));
    if (from && !link(*from, stage)) return from;
    const std::optional<Action> own = takes_over_from(schedule_, stage, next(stage));
    if (own && !handed_over(stage).contains(key(next(stage)))) return stage;
    return std::nullopt;
  }

  // The stage that must receive a message before `stage` may start its next action.
  std::optional<int> blocks_sending(int stage) {
    const std::optional<int> to = sends_to(schedule_, stage, next(stage));
    if (to && link(stage, *to)) return to;
    return std::nullopt;
  }

  // Receives the input of the next action. Returns false if that is not possible yet or already
  // done.
  bool ask(int stage) {
    if (finished(stage) || has_input(stage)) return false;
    if (blocks_asking(stage) || awaited_sender(stage)) return false;
    const Action& action = next(stage);
    if (const auto from = receives_from(schedule_, stage, action)) {
      const int part = schedule_.placement.part(stage, action.chunk);
      take(*from, stage, {is_forward(action), part, action.micro_batch});
    }
    has_input(stage) = true;
    return true;
  }

  // Runs the next action if it has its input, and leaves the result in the link.
  bool act(int stage) {
    if (finished(stage) || !has_input(stage) || blocks_sending(stage)) return false;
    const Action& action = next(stage);
    if (const auto to = sends_to(schedule_, stage, action)) {
      const int receiver =
          schedule_.placement.part(stage, action.chunk) + (is_forward(action) ? 1 : -1);
      link(stage, *to) = Message{is_forward(action), receiver, action.micro_batch};
    }
    if (const auto own = hands_over_to(schedule_, stage, action)) {
      handed_over(stage).insert(key(*own));
    }
    ++done(stage);
    has_input(stage) = false;
    return true;
  }

  void take(int from, int stage, const Message& wanted) {
    Link& waiting = link(from, stage);
    require(*waiting == wanted,
            "stage {} needs the {} from stage {} for its {}, but the next message on that link is "
            "the {}: sends and receives are in different orders",
            stage, describe(wanted), from, to_string(next(stage)), describe(*waiting));
    waiting.reset();
  }

  std::string why_stuck(int stage) {
    const std::string action = to_string(next(stage));
    if (const auto to = has_input(stage) ? blocks_sending(stage) : blocks_asking(stage)) {
      return fmt::format("before the {}, stage {} waits for stage {} to receive the {}", action,
                         stage, *to, describe(*link(stage, *to)));
    }
    const auto from = awaited_sender(stage);
    return fmt::format("before the {}, stage {} waits for its input from stage {}", action, stage,
                       from.value_or(stage));
  }

  const Schedule& schedule_;
  bool evaluation_;
  std::vector<std::size_t> done_;    // [stage]: number of actions
  std::vector<char> has_input_;      // [stage]: whether the next action has its input
  std::vector<Inputs> handed_over_;  // [stage]
  std::vector<Link> links_;          // [from, to]
};

}  // namespace

void check_for_deadlock(const Schedule& schedule) {
  DeadlockCheck(schedule).run();
}

}  // namespace masformer
