// The loss on text that a split holds.
#pragma once

#include <cstdint>

#include "data/split.h"
#include "launch/training/job.h"

namespace masformer {

struct Evaluation {
  double loss = 0;          // nats, mean over the predicted tokens
  std::int64_t tokens = 0;  // predicted
};

// Over the first `windows` windows of the split (0: all), which the data ranks share. Collective;
// all ranks get the result. Throws AgreedUsageError where the split has no whole window.
Evaluation evaluate(Job& job, const Split& split, std::int64_t windows);

}  // namespace masformer
