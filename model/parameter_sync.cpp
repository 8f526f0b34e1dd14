#include "model/parameter_sync.h"

namespace masformer {

ParameterSync::ParameterSync(const ParameterSet& parameters,
                             std::optional<ParameterId> shared_table, const Communicators& groups)
    : shared_table_(shared_table), groups_(&groups) {
  for (const Parameter& parameter : parameters) {
    const Tensor gradient = parameter.gradient;  // none where nothing is trained
    parameters_.push_back({parameter.value, gradient,
                           gradient ? parameter.owned(gradient) : Tensor(),
                           parameter.declaration.partial});
  }
}

void ParameterSync::reduce(Part parameters) {
  // Backward goes from the last parameter to the first.
  for (auto id = parameters.begin + parameters.count; id-- > parameters.begin;) {
    Synced& parameter = parameters_[static_cast<std::size_t>(id)];
    if (parameter.partial) groups_->tensor->all_reduce(parameter.gradient, Reduction::sum).wait();
    parameter.reduction = groups_->data->reduce_scatter(parameter.gradient);
  }
}

void ParameterSync::finish_reduction() {
  for (Synced& parameter : parameters_) parameter.reduction.wait();
  if (!shared_table_) return;
  groups_->ends->all_reduce(parameters_[*shared_table_].owned_gradient, Reduction::sum).wait();
}

void ParameterSync::publish(ParameterId id) {
  parameters_[id].arrival = groups_->data->all_gather(parameters_[id].value);
}

void ParameterSync::publish_all() {
  for (ParameterId id = 0; id < parameters_.size(); ++id) publish(id);
}

void ParameterSync::need(Part parameters) {
  for (auto id = parameters.begin; id < parameters.begin + parameters.count; ++id) {
    parameters_[static_cast<std::size_t>(id)].arrival.wait();
  }
}

void ParameterSync::poll() {
  for (Synced& parameter : parameters_) {
    parameter.reduction.done();
    parameter.arrival.done();
  }
}

}  // namespace masformer
