#include "parallel/pipeline/executor.h"

#include <cmath>
#include <map>
#include <utility>

#include "parallel/pipeline/execution_plan.h"
#include "runtime/error.h"
#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"

namespace masformer {
namespace {

class Execution {
 public:
  Execution(const Stream& stream, const Schedule& schedule, Communicator& pipe,
            PipelineStage& stage, Recorder* recorder)
      : stream_(stream),
        schedule_(schedule),
        pipe_(pipe),
        stage_(stage),
        timing_(stream, recorder) {
    require(pipe.size() == schedule.stages() && std::ssize(schedule.actions) == schedule.stages(),
            "a schedule of {} stages can't run on {} ranks: it needs one rank per stage",
            schedule.stages(), pipe.size());
  }

  StepTiming run() && {
    for (const ExecutionStep& step : plan_execution(schedule_, pipe_.rank())) execute(step);
    timing_.end();
    return std::move(timing_);
  }

 private:
  using Kind = ExecutionStep::Kind;

  void execute(const ExecutionStep& step) {
    const Action& action = step.action;
    switch (step.kind) {
      case Kind::wait_for_output_send:
        return timing_.wait(output_sends_[{action.chunk, action.micro_batch}]);
      case Kind::wait_for_gradient_send:
        return timing_.wait(gradient_sends_[action.chunk]);
      case Kind::receive:
        return receive(action, step.peer);
      case Kind::run:
        return timing_.run(stage_, action);
      case Kind::send:
        return send(action, step.peer);
      case Kind::hand_over:
        return hand_over(action);
    }
  }

  void receive(const Action& action, int from) {
    const bool forward = action.kind == ActionKind::forward;
    Request arrival =
        pipe_.receive(forward ? stage_.input(action) : stage_.output_gradient(action), from);
    timing_.wait(arrival);
  }

  void send(const Action& action, int to) {
    if (action.kind == ActionKind::forward) {
      output_sends_[{action.chunk, action.micro_batch}] = pipe_.send(stage_.output(action), to);
    } else {
      gradient_sends_[action.chunk] = pipe_.send(stage_.input_gradient(action), to);
    }
  }

  // Copies, although both parts are on this device. Sharing one buffer would save one pass over
  // [tokens, hidden], but the lifetime of a buffer would then depend on the stages of the
  // neighbouring parts.
  void hand_over(const Action& action) {
    const Action next = *hands_over_to(schedule_, pipe_.rank(), action);
    if (action.kind == ActionKind::forward) {
      copy(stream_, stage_.output(action), stage_.input(next));
    } else {
      copy(stream_, stage_.input_gradient(action), stage_.output_gradient(next));
    }
  }

  const Stream& stream_;
  const Schedule& schedule_;
  Communicator& pipe_;
  PipelineStage& stage_;
  std::map<std::pair<int, int>, Request> output_sends_;  // by chunk and micro-batch
  std::map<int, Request> gradient_sends_;                // by chunk, its last one
  StepTiming timing_;
};

}  // namespace

StepTiming::StepTiming(const Stream& stream, Recorder* recorder)
    : stream_(&stream),
      recorder_(recorder),
      host_begin_(recorder != nullptr && stream.device_stream() != nullptr
                      ? stream.device_stream()->read_clock()
                      : nullptr),
      begin_(stream) {}

void StepTiming::run(PipelineStage& stage, const Action& action) {
  if (recorder_ == nullptr) return stage.run(action);
  const RecordedScope scope(recorder_, {.micro_batch = action.micro_batch,
                                        .chunk = action.chunk,
                                        .name = recorder_->name(name_of(action.kind)),
                                        .issued = times_actions()});
  if (!times_actions()) return stage.run(action);
  DeviceEvent begin(*stream_);
  stage.run(action);
  actions_.push_back({scope.number(), std::move(begin), DeviceEvent(*stream_)});
}

void StepTiming::set_device_times() const {
  const auto time_of = [&](const DeviceEvent& event) {
    const double seconds = event.seconds_since(begin_);
    return host_begin_->load(std::memory_order_acquire) + std::llround(1e9 * seconds);
  };
  for (const DeviceAction& action : actions_) {
    recorder_->set_device_times(action.record, time_of(action.begin), time_of(action.end));
  }
}

void StepTiming::wait(Request& request) {
  if (request.done()) return;
  DeviceEvent begin(*stream_);
  time_wait(*stream_, "other stages", [&] { request.wait(); });
  waits_.push_back({std::move(begin), DeviceEvent(*stream_)});
}

double StepTiming::waiting_seconds() const {
  double sum = 0;
  for (const Wait& wait : waits_) sum += wait.end.seconds_since(wait.begin);
  return sum;
}

StepTiming execute(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                   PipelineStage& stage, Recorder* recorder) {
  return Execution(stream, schedule, pipe, stage, recorder).run();
}

}  // namespace masformer
