// Computes new weights from summed gradients: clipping by the global norm, AdamW, and the schedule
// of the learning rate.
#pragma once

#include <cstdint>

#include "model/parameter_sync.h"
#include "runtime/stream.h"

namespace masformer {

struct OptimizerConfig {
  double lr = 3e-4;   // at the end of the warm-up
  double min_lr = 0;  // at the last step
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 1;  // of the whole run
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  // of matrices; none on norms and biases
  double clip = 1;            // largest global gradient norm; 0 does not clip
};

// The learning rate of step `step`, counted from 1: it rises linearly to `lr` over the warm-up,
// then falls along half a cosine to `min_lr` at the last step.
double learning_rate(const OptimizerConfig& config, std::int64_t step);

// Writes the squared norm of the model's summed gradients, in which each parameter counts once, to
// parameters.squared_norm(). Collective over the world; call it after
// ParameterSync::finish_reduction().
void sum_squared_norm(const Stream& stream, ParameterSet& parameters, Communicator& world);

// Updates the rows that this rank owns by one step of AdamW, with gradients clipped according to
// parameters.squared_norm(), and starts to send them to the other replicas. Changes nothing if
// that norm is not finite.
void update(const Stream& stream, const OptimizerConfig& config, std::int64_t step,
            ParameterSet& parameters, ParameterSync& sync);

}  // namespace masformer
