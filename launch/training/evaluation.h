// The mean loss over a split's text.
#pragma once

#include <cstdint>

#include "data/split.h"
#include "launch/training/job.h"

namespace masformer {

struct Evaluation {
  double loss = 0;          // nats, mean over the predicted tokens
  std::int64_t tokens = 0;  // predicted
};

// Evaluates the first `windows` windows of the split (0: all), divided among the data ranks. All
// ranks get the same result. The split must have at least one whole window. Collective; call it
// inside Job::run().
Evaluation evaluate(Job& job, const Split& split, std::int64_t windows);

}  // namespace masformer
