#include "model/parameter_sync.h"

#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

ParameterSync::ParameterSync(const Stream& stream, const ParameterSet& parameters,
                             std::optional<ParameterId> shared_table, const ProcessGroups& groups)
    : stream_(&stream),
      shared_table_(shared_table),
      partial_gradients_(parameters.partial_gradients()),
      groups_(&groups) {
  for (const Parameter& parameter : parameters) {
    const Tensor gradient = parameter.gradient;  // empty for evaluation
    parameters_.push_back({parameter.value, parameter.owned(parameter.value), parameter.master,
                           gradient, gradient ? parameter.owned(gradient) : Tensor(),
                           parameter.spec.partial});
  }
}

void ParameterSync::reduce(ParameterRange parameters) {
  // In descending order, because the backward finishes the last parameter first.
  for (ParameterId id = parameters.end; id-- > parameters.begin;) {
    if (!parameters_[id].partial) reduce(parameters_[id]);
  }
}

void ParameterSync::reduce(Synced& parameter) {
  parameter.reduction = groups_->replicas->reduce_scatter(parameter.gradient);
}

void ParameterSync::finish_reduction() {
  const SentBytes sent_before = groups_->tensor->sent_bytes();
  time_wait(*stream_, "gradients",
            [&] { groups_->tensor->all_reduce(partial_gradients_, Reduction::sum).wait(); });
  sent_to_tensor_ranks_ += groups_->tensor->sent_bytes() - sent_before;
  for (Synced& parameter : parameters_) {
    if (parameter.partial) reduce(parameter);
  }
  time_wait(*stream_, "gradients", [&] {
    for (Synced& parameter : parameters_) parameter.reduction.wait();
  });
  if (!shared_table_) return;
  time_wait(*stream_, "gradients", [&] {
    const Tensor gradient = parameters_[*shared_table_].owned_gradient;
    groups_->embedding->all_reduce(gradient, Reduction::sum).wait();
  });
}

void ParameterSync::start_all_gather(ParameterId id) {
  Synced& parameter = parameters_[id];
  if (parameter.value.dtype() != DType::f32) {
    copy(*stream_, parameter.master, parameter.owned_value);
  }
  parameter.arrival = groups_->replicas->all_gather(parameter.value);
}

void ParameterSync::start_all_gathers() {
  for (ParameterId id = 0; id < parameters_.size(); ++id) start_all_gather(id);
}

void ParameterSync::wait_for(ParameterRange parameters) {
  bool arrived = true;
  for (ParameterId id = parameters.begin; id < parameters.end; ++id) {
    arrived &= parameters_[id].arrival.done();
  }
  if (arrived) return;  // so that only waits are timed; most micro-batches need none
  time_wait(*stream_, "weights", [&] {
    for (ParameterId id = parameters.begin; id < parameters.end; ++id) {
      parameters_[id].arrival.wait();
    }
  });
}

void ParameterSync::poll() {
  if (!groups_->replicas->traits().needs_polling) return;
  for (Synced& parameter : parameters_) {
    parameter.reduction.done();
    parameter.arrival.done();
  }
}

void ParameterSync::drain() {
  for (Synced& parameter : parameters_) {
    parameter.reduction.wait();
    parameter.arrival.wait();
  }
}

}  // namespace masformer
