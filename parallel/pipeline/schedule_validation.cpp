#include <algorithm>

#include "parallel/pipeline/deadlock_check.h"
#include "parallel/pipeline/schedule.h"
#include "runtime/error.h"

namespace masformer {
namespace {

void check_bounds(const Schedule& schedule) {
  require(schedule.micro_batches >= 1, "a schedule has {} micro-batches: it must have at least 1",
          schedule.micro_batches);
  require(std::ssize(schedule.actions) == schedule.stages(),
          "a schedule of {} stages has lists of actions for {}", schedule.stages(),
          schedule.actions.size());
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    for (const Action& action : schedule.actions[static_cast<std::size_t>(stage)]) {
      const bool inside = action.micro_batch >= 0 && action.micro_batch < schedule.micro_batches &&
                          action.chunk >= 0 && action.chunk < schedule.chunks();
      require(inside, "stage {} runs the {}, but the schedule has {} micro-batches and {} chunks",
              stage, to_string(action), schedule.micro_batches, schedule.chunks());
    }
  }
}

// Checks that one stage's actions are complete and in order.
class StageCheck {
 public:
  // Throws if an action is listed twice.
  StageCheck(const Schedule& schedule, int stage)
      : schedule_(schedule),
        stage_(stage),
        places_(static_cast<std::size_t>(kinds * schedule.chunks() * schedule.micro_batches),
                absent) {
    const auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
    for (std::size_t i = 0; i < actions.size(); ++i) {
      std::ptrdiff_t& place = places_[index(actions[i])];
      require(place == absent, "stage {} runs the {} twice", stage, to_string(actions[i]));
      place = static_cast<std::ptrdiff_t>(i);
    }
  }

  void run(bool evaluation) const {
    for (int chunk = 0; chunk < schedule_.chunks(); ++chunk) {
      for (int i = 0; i < schedule_.micro_batches; ++i) check_complete(i, chunk, evaluation);
      if (evaluation) continue;
      for (int i = 0; i < schedule_.micro_batches; ++i) check_order(i, chunk);
    }
  }

 private:
  static constexpr int kinds = enum_names<ActionKind>.size();
  static constexpr std::ptrdiff_t absent = -1;

  std::size_t index(const Action& action) const {
    const int row = static_cast<int>(action.kind) * schedule_.chunks() + action.chunk;
    const int place = row * schedule_.micro_batches + action.micro_batch;
    return static_cast<std::size_t>(place);
  }

  // The index of an action in the stage's list, or `absent`.
  std::ptrdiff_t find(const Action& action) const { return places_[index(action)]; }

  void require_present(const Action& action) const {
    require(find(action) != absent, "stage {} lacks the {}", stage_, to_string(action));
  }

  void check_complete(int micro_batch, int chunk, bool evaluation) const {
    const Action fused{ActionKind::backward, micro_batch, chunk};
    const Action input{ActionKind::backward_input, micro_batch, chunk};
    const Action weight{ActionKind::backward_weight, micro_batch, chunk};
    require_present({ActionKind::forward, micro_batch, chunk});
    if (evaluation) return;
    if (find(fused) != absent) {
      for (const Action& half : {input, weight}) {
        require(find(half) == absent, "stage {} runs both the {} and the {}", stage_,
                to_string(fused), to_string(half));
      }
    } else if (find(input) == absent && find(weight) == absent) {
      require_present(fused);
    } else {
      require_present(input);
      require_present(weight);
    }
  }

  // The action that computes a micro-batch's weight gradients, or its input gradient: the fused
  // backward, or that half.
  Action gradient(ActionKind half, int micro_batch, int chunk) const {
    const Action fused{ActionKind::backward, micro_batch, chunk};
    return find(fused) != absent ? fused : Action{half, micro_batch, chunk};
  }

  void require_order(const Action& first, const Action& second) const {
    require(find(first) <= find(second), "stage {} runs the {} before the {}", stage_,
            to_string(second), to_string(first));
  }

  void check_order(int micro_batch, int chunk) const {
    const Action input = gradient(ActionKind::backward_input, micro_batch, chunk);
    const Action weight = gradient(ActionKind::backward_weight, micro_batch, chunk);
    require_order({ActionKind::forward, micro_batch, chunk}, input);
    require_order(input, weight);
    if (micro_batch == 0) return;
    require_order(gradient(ActionKind::backward_weight, micro_batch - 1, chunk), weight);
    if (schedule_.placement.part(stage_, chunk) + 1 < schedule_.placement.parts()) return;
    require_order(gradient(ActionKind::backward_input, micro_batch - 1, chunk), input);
  }

  const Schedule& schedule_;
  int stage_;
  std::vector<std::ptrdiff_t> places_;  // [kind, chunk, micro-batch]
};

}  // namespace

void validate(const Schedule& schedule) {
  check_bounds(schedule);
  const bool evaluation = is_evaluation(schedule);
  for (int stage = 0; stage < schedule.stages(); ++stage)
    StageCheck(schedule, stage).run(evaluation);
  check_for_deadlock(schedule);
}

}  // namespace masformer
