#include "model/projection_part.h"

#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"

namespace masformer {

ProjectionPart::ProjectionPart(LayerDeclarer& declare, const std::string& name, std::int64_t inner)
    : sum_(declare, Pass::backward_input) {
  const std::int64_t hidden = declare.config.hidden;
  weight_ = declare.parameters.split_columns(name + ".weight", {hidden, inner});
  bias_ = declare.parameters.replicated(name + ".bias", {hidden}, Initial::zeros);
}

void ProjectionPart::forward(LayerRun& run, Tensor inner) const {
  const Tensor weight = run.parameters[weight_].value, bias = run.parameters[bias_].value;
  if (run.tensor.size() == 1) {
    return linear(run.stream, inner, weight, bias, run.output, run.input);
  }
  linear(run.stream, inner, weight, {}, sum_.part(run));
  add_residual(run.stream, run.input, bias, sum_.sum(run), run.output);
}

void ProjectionPart::backward_input(LayerRun& run, Tensor inner_gradient) const {
  linear_backward_input(run.stream, sum_.gather_gradient(run), run.parameters[weight_].value,
                        inner_gradient);
}

void ProjectionPart::backward_input_gelu(LayerRun& run, Tensor before,
                                         Tensor before_gradient) const {
  linear_backward_input_gelu(run.stream, sum_.gather_gradient(run), run.parameters[weight_].value,
                             before, before_gradient);
}

void ProjectionPart::backward_weight(LayerRun& run, Tensor inner) const {
  linear_backward_weight(run.stream, sum_.gradient(run), inner, run.parameters[weight_].gradient,
                         run.parameters[bias_].gradient);
}

}  // namespace masformer
