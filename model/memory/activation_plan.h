// Where each activation of a stage is in memory, and the peak of that memory. The plan replays the
// stage's actions over the buffers that its layers registered, and gives each buffer the first gap
// that fits.
//
// An allocator at run time would need no replay. With the replay, the peak is known before any
// memory is allocated, no allocation can fail in the middle of a run, and the same schedule always
// gives the same offsets. First fit leaves some gaps, but is simple, and fast enough to replay
// every action of a step.
#pragma once

#include <cstdint>
#include <vector>

#include "model/program.h"

namespace masformer {

class ActivationPlan {
 public:
  // Replays one stage's `actions` on `micro_batches` micro-batches; actions without a backward are
  // an evaluation. Time grows with actions * layers, memory with micro-batches * buffers.
  ActivationPlan(const std::vector<BufferSpec>& buffers, const StageProgram& program,
                 int micro_batches, const std::vector<Action>& actions);

  std::int64_t peak() const { return peak_; }  // bytes
  // Byte offset of a micro-batch's buffer during an action of this kind; -1 if the micro-batch does
  // not need it before the end of that action.
  std::int64_t offset(ActionKind kind, int micro_batch, BufferId buffer) const {
    const auto& offsets = kind == ActionKind::forward ? forward_ : backward_;
    return offsets[static_cast<std::size_t>(micro_batch)][buffer];
  }

 private:
  using Offsets = std::vector<std::vector<std::int64_t>>;  // [micro-batch][buffer]

  Offsets forward_, backward_;
  std::int64_t peak_ = 0;
};

}  // namespace masformer
