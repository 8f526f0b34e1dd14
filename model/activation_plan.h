// Where a stage's activations stand in memory, and so how much they take at most: found by
// replaying the stage's actions over declared buffers, before anything is computed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/schedule.h"
#include "runtime/tensor.h"

namespace masformer {

enum class Pass : std::uint8_t { forward, backward_input, backward_weight };

// One pass of one layer, by its place in the stage.
struct Moment {
  int layer = 0;
  Pass pass = Pass::forward;

  bool operator==(const Moment&) const = default;
};

// A buffer that every micro-batch needs, from the start of the moment `born` to the end of the
// moment `last`.
struct BufferDeclaration {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Moment born, last;
  // Evaluation runs forwards alone: there the buffer lives to the end of this layer's forward if
  // it is born in a forward or `evaluated` is set (then in that forward alone); else never.
  int last_forward_layer = 0;
  bool evaluated = false;
};

using BufferId = std::size_t;

class ActivationPlan {
 public:
  // Replays `actions` (one stage's, on chunk 0) of `micro_batches` micro-batches over `layers`
  // layers. Actions without any backward are an evaluation.
  ActivationPlan(const std::vector<BufferDeclaration>& buffers, int layers, int micro_batches,
                 const std::vector<Action>& actions);

  std::int64_t peak() const { return peak_; }  // bytes
  // Byte offset of a micro-batch's buffer; -1 where it is never needed.
  std::int64_t offset(int micro_batch, BufferId buffer) const {
    return offsets_[static_cast<std::size_t>(micro_batch)][buffer];
  }

 private:
  std::vector<std::vector<std::int64_t>> offsets_;  // [micro-batch][buffer]
  std::int64_t peak_ = 0;
};

// The order in which an action goes through the passes of `layers` layers: what the replay and the
// execution both follow.
std::vector<Moment> moments(ActionKind kind, int layers);

}  // namespace masformer
