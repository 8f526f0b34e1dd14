#include "launch/training/step_runner.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "model/optimizer.h"
#include "parallel/comm/collective_errors.h"
#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

StepRunner::StepRunner(Job& job)
    : job_(job),
      loss_(job.stream),
      squared_norm_(job.stream),
      own_loss_{Readback(job.stream), Readback(job.stream)} {}

bool busy_is_timed(const Job& job, std::int64_t step) {
  return job.stream.device_stream() == nullptr || step % 8 == 0;
}

IssuedStep StepRunner::forward_backward(std::int64_t number, const Batch& batch,
                                        PackedDocuments documents) {
  if (documents.predicted_tokens == 0) {
    throw AgreedError(
        fmt::format("step {} predicts no token, since each of its documents has only one: raise "
                    "train.global_batch or train.sequence, or leave data.document_mask at false",
                    number));
  }
  sent_before_ = sent_since_start();
  std::optional<WaitTimer> timer;
  if (busy_is_timed(job_, number)) timer.emplace(job_.stream);
  job_.set_batch(batch);
  StepTiming timing = job_.run_training(number, documents.predicted_tokens);
  job_.stage.sync().finish_reduction();
  const Tensor loss = job_.stage.loss();
  own_loss_[number % 2].start(loss);
  // Every tensor rank of the last stage has the whole loss, so only the first one's is summed.
  if (job_.groups.at.tensor > 0) fill_zero(job_.stream, loss);
  time_wait(job_.stream, "all ranks",
            [&] { job_.world().all_reduce(loss, Reduction::sum).wait(); });
  sum_squared_norm(job_.stream, job_.stage.parameters(), job_.world());
  return {
      number, std::move(documents), std::move(timing), timer ? timer->finish() : TimedWaits(), {}};
}

void StepRunner::update(IssuedStep& step) {
  masformer::update(job_.stream, job_.plan.optimizer, step.number, job_.stage.parameters(),
                    job_.stage.sync());
  // Read the loss after the update, so that waiting for it includes the update.
  loss_.start(job_.stage.loss());
  squared_norm_.start(job_.stage.parameters().squared_norm());
  step.sent = sent_since_start();
  for (const Axis axis : all_axes) step.sent[axis] -= sent_before_[axis];
}

StepSums StepRunner::wait_for_sums() const {
  return {loss_.wait(), squared_norm_.wait()};
}

SentByAxis StepRunner::sent_since_start() const {
  const ProcessGroups& groups = job_.groups;
  // Count gradients as sent along the data axis, whichever group sums them.
  const SentBytes gradients = job_.stage.sync().sent_to_tensor_ranks();
  SentByAxis sent;
  for (const Axis axis : all_axes) sent[axis] = groups.along(axis).sent_bytes();
  sent[Axis::pipe] += groups.embedding->sent_bytes();
  sent[Axis::tensor] -= gradients;
  sent[Axis::data] += gradients;
  return sent;
}

}  // namespace masformer
