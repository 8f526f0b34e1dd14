// Where a stage's activations are in memory, and so how much they take at most: found by replaying
// the stage's actions over the buffers that its layers declared, before anything is computed.
#pragma once

#include <cstdint>
#include <vector>

#include "model/program.h"

namespace masformer {

class ActivationPlan {
 public:
  // Replays one stage's `actions` on `micro_batches` micro-batches. Actions without any backward
  // are an evaluation. The time grows with actions * layers, the memory with micro-batches *
  // buffers.
  ActivationPlan(const std::vector<BufferSpec>& buffers, const StageProgram& program,
                 int micro_batches, const std::vector<Action>& actions);

  std::int64_t peak() const { return peak_; }  // bytes
  // Byte offset of a micro-batch's buffer during an action of this kind; -1 where the micro-batch
  // does not need it before the end of that action.
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
