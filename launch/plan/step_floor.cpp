#include "launch/plan/step_floor.h"

#include <algorithm>
#include <cmath>

namespace masformer {

StepFloor::StepFloor(const ModelSeconds& model)
    : total_(model.embedding.total() + model.head.total()),
      embedding_(model.embedding.total()),
      least_forward_(model.blocks.front().forward) {
  for (const PassSeconds& block : model.blocks) {
    total_ += block.total();
    least_forward_ = std::min(least_forward_, block.forward);
    if (block.total() > 0) least_share_ = std::min(least_share_, block.forward / block.total());
  }
}

// Let w[s] be the work of stage s for a micro-batch, all w together the work of the model, and m
// the number of micro-batches. A step takes at least fill[s] + m w[s] for every s. The smallest
// maximum of these is where they are equal.
double StepFloor::seconds(int stages, int chunks, int micro_batches) const {
  const double m = micro_batches, p = stages;
  const double even = m * total_ / p;
  // fill[s] is that of s blocks at least.
  if (chunks > 1) return even + least_forward_ * (p - 1) / 2;
  // fill[s] is at least r (w[0] + ... + w[s - 1] - embedding), where r is the least share. If C[s]
  // is that sum of works and T the step, C[s + 1] = C[s] (1 - r / m) + (T + r embedding) / m.
  const double r = least_share_;
  if (r == 0) return even;
  return std::max(even, r * total_ / (1 - std::pow(1 - r / m, p)) - r * embedding_);
}

}  // namespace masformer
