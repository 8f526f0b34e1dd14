// From summed gradients to new weights: global-norm clipping, AdamW, and the learning rate's
// course.
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
  double clip = 1;            // largest global gradient norm; 0 leaves gradients as they are
};

// Of step `step`, from 1: linear to `lr` over the warm-up, then half a cosine to `min_lr` at the
// last step.
double learning_rate(const OptimizerConfig& config, std::int64_t step);

// Sums the squares of all summed gradients of the model, each parameter counted once, into
// parameters.squared_norm(). Collective over the world; after ParameterSync::finish_reduction().
void sum_squared_norm(const Stream& stream, ParameterSet& parameters, Communicator& world);

// One AdamW update of the rows that this rank owns, with gradients scaled to the clipping norm by
// parameters.squared_norm(). Changes nothing where that is not finite.
void update(const Stream& stream, const OptimizerConfig& config, std::int64_t step,
            ParameterSet& parameters, ParameterSync& sync);

}  // namespace masformer
