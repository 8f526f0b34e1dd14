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

// The tokens that the first `windows` windows of the split predict (0: all windows, of which there
// must be one). Throws AgreedUsageError if there is none, as with documents of one token.
std::int64_t tokens_to_evaluate(const Split& split, const Window& window, std::int64_t windows);

// Evaluates the first `windows` windows of the split (0: all), divided among the data ranks. All
// ranks get the same result. The split must have at least one whole window. Collective; call it
// inside Job::run().
Evaluation evaluate(Job& job, const Split& split, std::int64_t windows);

}  // namespace masformer
