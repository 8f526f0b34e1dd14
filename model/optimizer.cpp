#include "model/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "runtime/op_timer.h"
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

void sum_squared_norm(const Stream& stream, ParameterSet& parameters, Communicator& world) {
  const Tensor sum = parameters.squared_norm();
  fill_zero(stream, sum);
  std::vector<Tensor> gradients;
  for (const Parameter& parameter : parameters) {
    if (parameter.spec.primary) gradients.push_back(parameter.owned(parameter.gradient));
  }
  add_sum_of_squares(stream, gradients, sum);
  time_wait(stream, "all ranks", [&] { world.all_reduce(sum, Reduction::sum).wait(); });
}

void update(const Stream& stream, const OptimizerConfig& config, std::int64_t step,
            ParameterSet& parameters, ParameterSync& sync) {
  // Parameters per update call: about those of one block. With more, fewer kernels are launched,
  // but sending starts later.
  constexpr ParameterId at_once = 16;
  const AdamWStep adam{.learning_rate = static_cast<float>(learning_rate(config, step)),
                       .beta1 = static_cast<float>(config.beta1),
                       .beta2 = static_cast<float>(config.beta2),
                       .epsilon = static_cast<float>(config.epsilon),
                       .step = step};
  clip_factor(stream, parameters.squared_norm(), config.clip, parameters.clip_factor());
  for (ParameterId begin = 0; begin < parameters.size(); begin += at_once) {
    const ParameterId end = std::min(begin + at_once, parameters.size());
    std::vector<AdamWTensors> tensors;
    for (ParameterId id = begin; id < end; ++id) {
      const Parameter& parameter = parameters[id];
      const double decay = parameter.spec.decay ? config.weight_decay : 0.0;
      tensors.push_back({parameter.owned(parameter.gradient), parameter.master, parameter.m,
                         parameter.v, static_cast<float>(decay)});
    }
    adamw(stream, adam, parameters.clip_factor(), tensors);
    for (ParameterId id = begin; id < end; ++id) sync.start_all_gather(id);
    sync.poll();
  }
}

}  // namespace masformer
