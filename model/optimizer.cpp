#include "model/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/ops/adamw.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

double learning_rate(const OptimizerConfig& config, std::int64_t step) {
  const auto at = static_cast<double>(step);
  const auto warmup = static_cast<double>(config.warmup_steps);
  if (at <= warmup) return config.lr * at / warmup;
  const double rest = std::max(static_cast<double>(config.steps) - warmup, 1.0);
  const double progress = std::min((at - warmup) / rest, 1.0);
  return config.min_lr +
         (config.lr - config.min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

double gradient_norm(const Stream& stream, const ParameterSet& parameters, Communicator& world) {
  double sum = 0;
  for (const Parameter& parameter : parameters) {
    if (!parameter.declaration.primary) continue;
    sum += sum_of_squares(stream, parameter.owned(parameter.gradient));
  }
  return std::sqrt(sum_over(world, sum));
}

void update(const Stream& stream, const OptimizerConfig& config, std::int64_t step,
            double gradient_norm, ParameterSet& parameters, ParameterSync& sync) {
  const bool clipped = config.clip > 0 && gradient_norm > config.clip;
  AdamWStep adam{.learning_rate = static_cast<float>(learning_rate(config, step)),
                 .beta1 = static_cast<float>(config.beta1),
                 .beta2 = static_cast<float>(config.beta2),
                 .epsilon = static_cast<float>(config.epsilon),
                 .gradient_scale = clipped ? static_cast<float>(config.clip / gradient_norm) : 1.0f,
                 .step = step};
  for (ParameterId id = 0; id < parameters.size(); ++id) {
    const Parameter& parameter = parameters[id];
    adam.weight_decay =
        parameter.declaration.decay ? static_cast<float>(config.weight_decay) : 0.0f;
    adamw(stream, adam, parameter.owned(parameter.gradient), parameter.master, parameter.m,
          parameter.v);
    sync.publish(id);
    sync.poll();
  }
}

}  // namespace masformer
