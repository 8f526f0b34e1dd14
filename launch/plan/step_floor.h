// A lower bound of a training step's time on a pipeline, for every partition of the model and every
// order of actions. A search uses it to leave out layouts without planning them. Times are seconds.
#pragma once

#include <vector>

#include "parallel/pipeline/pass_seconds.h"

namespace masformer {

// What the layers of a model take for one micro-batch.
struct ModelSeconds {
  PassSeconds embedding, head;
  std::vector<PassSeconds> blocks;  // at least one
};

class StepFloor {
 public:
  explicit StepFloor(const ModelSeconds& model);

  // Stage s holds part s of `stages` x `chunks` parts, and any others. Before it can begin, a
  // micro-batch is forwarded through the parts before part s; then it has its own work to do. What
  // the backward adds at the end is left out: a schedule may end with weight gradients meanwhile.
  double seconds(int stages, int chunks, int micro_batches) const;

 private:
  double total_, embedding_;
  // The forward of the block where it takes least time, and the least share of a block's time that
  // its forward is.
  double least_forward_, least_share_ = 1;
};

}  // namespace masformer
