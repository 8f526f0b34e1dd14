#include "parallel/pipeline/executor.h"

#include <algorithm>
#include <set>
#include <utility>

#include "runtime/error.h"
#include "runtime/op_timer.h"

namespace masformer {
namespace {

// A backward overwrites its micro-batch's output and the chunk's last gradient, so both must have
// left. validate() simulates nothing laxer than this, so a validated schedule can't hang here.
bool frees_buffers(const Action& action) {
  return action.kind == ActionKind::backward || action.kind == ActionKind::backward_input;
}

class Execution {
 public:
  Execution(const Stream& stream, const Schedule& schedule, Communicator& pipe,
            PipelineStage& stage);
  StepTiming run() &&;

 private:
  void free_buffers(const Action& action);
  void receive_input(const Action& action);
  void send_result(const Action& action);

  Request& output_send(const Action& action) {
    const int place = action.chunk * schedule_.micro_batches + action.micro_batch;
    return output_sends_[static_cast<std::size_t>(place)];
  }
  Request& gradient_send(const Action& action) {
    return gradient_sends_[static_cast<std::size_t>(action.chunk)];
  }

  const Schedule& schedule_;
  Communicator& pipe_;
  PipelineStage& stage_;
  const std::vector<Action>& actions_;
  bool evaluation_;
  std::vector<Request> output_sends_;    // [chunk, micro-batch]
  std::vector<Request> gradient_sends_;  // [chunk], the last one
  StepTiming timing_;
};

const std::vector<Action>& actions_of(const Schedule& schedule, const Communicator& pipe) {
  require(pipe.size() == schedule.stages && std::ssize(schedule.actions) == schedule.stages,
          "a schedule of {} stages can't run on {} ranks", schedule.stages, pipe.size());
  return schedule.actions[static_cast<std::size_t>(pipe.rank())];
}

Execution::Execution(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                     PipelineStage& stage)
    : schedule_(schedule),
      pipe_(pipe),
      stage_(stage),
      actions_(actions_of(schedule, pipe)),
      evaluation_(is_evaluation(schedule)),
      output_sends_(static_cast<std::size_t>(schedule.chunks * schedule.micro_batches)),
      gradient_sends_(static_cast<std::size_t>(schedule.chunks)),
      timing_(stream) {}

StepTiming Execution::run() && {
  for (const Action& action : actions_) {
    free_buffers(action);
    receive_input(action);
    stage_.run(action);
    send_result(action);
  }
  for (Request& event : output_sends_) timing_.wait(event);
  for (Request& event : gradient_sends_) timing_.wait(event);
  timing_.end();
  return std::move(timing_);
}

void Execution::free_buffers(const Action& action) {
  if (!frees_buffers(action)) return;
  timing_.wait(output_send(action));
  timing_.wait(gradient_send(action));
}

void Execution::receive_input(const Action& action) {
  const auto from = receives_from(schedule_, pipe_.rank(), action);
  if (!from) return;
  const bool forward = action.kind == ActionKind::forward;
  Request arrival =
      pipe_.receive(forward ? stage_.input(action) : stage_.output_gradient(action), *from);
  timing_.wait(arrival);
}

void Execution::send_result(const Action& action) {
  const auto to = sends_to(schedule_, pipe_.rank(), action);
  if (!to) return;
  if (action.kind == ActionKind::forward) {
    output_send(action) = pipe_.send(stage_.output(action), *to);
    if (evaluation_) timing_.wait(output_send(action));
  } else {
    gradient_send(action) = pipe_.send(stage_.input_gradient(action), *to);
  }
}

}  // namespace

void StepTiming::wait(Request& event) {
  if (event.done()) return;
  DeviceEvent begin(*stream_);
  time_wait(*stream_, "other stages", [&] { event.wait(); });
  waits_.push_back({std::move(begin), DeviceEvent(*stream_)});
}

double StepTiming::waiting_seconds() const {
  double sum = 0;
  for (const Wait& wait : waits_) sum += wait.end.seconds_since(wait.begin);
  return sum;
}

StepTiming execute(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                   PipelineStage& stage) {
  return Execution(stream, schedule, pipe, stage).run();
}

// As Execution starts them and waits for them.
int max_messages(const Schedule& schedule, int stage) {
  std::set<std::pair<int, int>> outputs;  // chunk and micro-batch
  std::set<int> gradients;                // chunk
  std::size_t most = 0;
  for (const Action& action : schedule.actions[static_cast<std::size_t>(stage)]) {
    if (frees_buffers(action)) {
      outputs.erase({action.chunk, action.micro_batch});
      gradients.erase(action.chunk);
    }
    const std::size_t received = receives_from(schedule, stage, action) ? 1 : 0;
    most = std::max(most, outputs.size() + gradients.size() + received);
    if (!sends_to(schedule, stage, action)) continue;
    if (action.kind == ActionKind::forward) {
      outputs.insert({action.chunk, action.micro_batch});
    } else {
      gradients.insert(action.chunk);
    }
    most = std::max(most, outputs.size() + gradients.size());
    if (is_evaluation(schedule)) outputs.clear();
  }
  return static_cast<int>(most);
}

}  // namespace masformer
