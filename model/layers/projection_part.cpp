#include "model/layers/projection_part.h"

#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"

namespace masformer {

ProjectionPart::ProjectionPart(LayerSetup& setup, const std::string& name, std::int64_t inner)
    : sum_(setup, Pass::backward_input) {
  const std::int64_t hidden = setup.config.hidden;
  weight_ = setup.parameters.split_columns(name + ".weight", {hidden, inner});
  bias_ = setup.parameters.replicated(name + ".bias", {hidden}, Initial::zeros);
  setup.need_workspace(cuda_workspace::column_sums(setup.tokens(), hidden));
}

void ProjectionPart::forward(LayerContext& context, Tensor inner) const {
  forward_block(context, inner, 0);
  finish_forward(context);
}

void ProjectionPart::forward_block(LayerContext& context, Tensor inner, std::int64_t first) const {
  const Tensor weight = context.parameters[weight_].value, bias = context.parameters[bias_].value;
  if (context.tensor.size() == 1) {
    linear(context.stream, inner, weight, bias, rows_of(context.output, inner, first),
           rows_of(context.input, inner, first));
  } else {
    linear(context.stream, inner, weight, {}, rows_of(sum_.part(context), inner, first));
  }
}

void ProjectionPart::finish_forward(LayerContext& context) const {
  if (context.tensor.size() == 1) return;
  add_residual(context.stream, context.input, context.parameters[bias_].value, sum_.sum(context),
               context.output);
}

void ProjectionPart::backward_input(LayerContext& context, Tensor inner_gradient) const {
  linear_backward_input(context.stream, sum_.gradient(context), context.parameters[weight_].value,
                        inner_gradient);
}

void ProjectionPart::backward_input_gelu(LayerContext& context, Tensor before,
                                         Tensor before_gradient, std::int64_t first) const {
  linear_backward_input_gelu(context.stream, rows_of(sum_.gradient(context), before, first),
                             context.parameters[weight_].value, before, before_gradient);
}

void ProjectionPart::backward_weight(LayerContext& context, Tensor inner,
                                     std::int64_t first) const {
  linear_backward_weight(context.stream, rows_of(sum_.gradient(context), inner, first), inner,
                         context.parameters[weight_].gradient, context.parameters[bias_].gradient);
}

}  // namespace masformer
