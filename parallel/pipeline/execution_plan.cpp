#include "parallel/pipeline/execution_plan.h"

#include <algorithm>
#include <utility>

namespace masformer {
namespace {

using Kind = ExecutionStep::Kind;

class ExecutionPlanner {
 public:
  ExecutionPlanner(const Schedule& schedule, int stage)
      : schedule_(schedule),
        stage_(stage),
        evaluation_(is_evaluation(schedule)),
        outputs_(static_cast<std::size_t>(schedule.chunks() * schedule.micro_batches)),
        gradients_(static_cast<std::size_t>(schedule.chunks())) {}

  std::vector<ExecutionStep> plan() && {
    for (const Action& action : schedule_.actions[static_cast<std::size_t>(stage_)]) {
      if (frees_buffers(action)) {
        wait_for_output(action);
        wait_for_gradient(action);
      }
      if (const auto from = receives_from(schedule_, stage_, action)) {
        steps_.push_back({Kind::receive, action, *from});
      }
      steps_.push_back({Kind::run, action});
      pass_on(action);
    }
    for (int chunk = 0; chunk < schedule_.chunks(); ++chunk) {
      for (int i = 0; i < schedule_.micro_batches; ++i) {
        wait_for_output({.micro_batch = i, .chunk = chunk});
      }
    }
    for (int chunk = 0; chunk < schedule_.chunks(); ++chunk) wait_for_gradient({.chunk = chunk});
    return std::move(steps_);
  }

 private:
  static bool frees_buffers(const Action& action) {
    return action.kind == ActionKind::backward || action.kind == ActionKind::backward_input;
  }

  void pass_on(const Action& action) {
    if (hands_over_to(schedule_, stage_, action)) steps_.push_back({Kind::hand_over, action});
    const auto to = sends_to(schedule_, stage_, action);
    if (!to) return;
    steps_.push_back({Kind::send, action, *to});
    if (action.kind == ActionKind::forward) {
      output(action) = 1;
      if (evaluation_) wait_for_output(action);
    } else {
      gradient(action) = 1;
    }
  }

  void wait_for_output(const Action& action) {
    if (std::exchange(output(action), 0) == 0) return;
    steps_.push_back({Kind::wait_for_output_send, action});
  }

  void wait_for_gradient(const Action& action) {
    if (std::exchange(gradient(action), 0) == 0) return;
    steps_.push_back({Kind::wait_for_gradient_send, action});
  }

  char& output(const Action& action) {
    const int slot = action.chunk * schedule_.micro_batches + action.micro_batch;
    return outputs_[static_cast<std::size_t>(slot)];
  }
  char& gradient(const Action& action) {
    return gradients_[static_cast<std::size_t>(action.chunk)];
  }

  const Schedule& schedule_;
  int stage_;
  bool evaluation_;
  std::vector<char> outputs_;    // [chunk, micro-batch]: whether the output is in flight
  std::vector<char> gradients_;  // [chunk]: whether its last gradient is in flight
  std::vector<ExecutionStep> steps_;
};

}  // namespace

std::vector<ExecutionStep> plan_execution(const Schedule& schedule, int stage) {
  return ExecutionPlanner(schedule, stage).plan();
}

int max_messages(const Schedule& schedule, int stage) {
  int sent = 0, most = 0;
  for (const ExecutionStep& step : plan_execution(schedule, stage)) {
    switch (step.kind) {
      case Kind::wait_for_output_send:
      case Kind::wait_for_gradient_send:
        --sent;
        break;
      case Kind::receive:
        most = std::max(most, sent + 1);
        break;
      case Kind::send:
        most = std::max(most, ++sent);
        break;
      case Kind::run:
      case Kind::hand_over:
        break;
    }
  }
  return most;
}

}  // namespace masformer
