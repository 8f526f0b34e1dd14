// Where a stage's activations stand in memory, and so how much they take at most: found by
// replaying the stage's actions over declared buffers, before anything is computed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/pipeline/schedule.h"
#include "runtime/enum_names.h"
#include "runtime/tensor.h"

namespace masformer {

// In the order of a step.
#define MASFORMER_PASSES(VALUE)           \
  VALUE(forward, "forward")               \
  VALUE(recompute, "recompute")           \
  VALUE(backward_input, "backward_input") \
  VALUE(backward_weight, "backward_weight")
MASFORMER_NAMED_ENUM(Pass, MASFORMER_PASSES);
#undef MASFORMER_PASSES

// One pass of one layer, by its place in the stage.
struct ProgramPoint {
  int layer = 0;
  Pass pass = Pass::forward;

  bool operator==(const ProgramPoint&) const = default;
};

// Layers [begin, end) that are computed again, in their order, before the backward of the last.
struct RecomputedLayers {
  int begin = 0;
  int end = 0;
};

// A buffer that every micro-batch needs, from the start of the point `first_use` to the end of the
// point `last`.
struct BufferSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  ProgramPoint first_use, last;
  // Evaluation runs forwards alone: there the buffer lives to the end of this layer's forward if
  // it is first_use in a forward or `evaluated` is set (then in that forward alone); else never.
  int last_forward_layer = 0;
  bool evaluated = false;
  // Given back after the forwards that read it, and filled again when its layer is recomputed.
  bool recomputed = false;
};

using BufferId = std::size_t;

// What a stage's actions consist of.
struct StagePasses {
  int layers = 0;
  std::vector<RecomputedLayers> recomputed{};

  // Whether layer `reader` is computed again right after `writer`, which it needs for that.
  bool recomputed_together(int writer, int reader) const;

  // The order in which an action goes through the layers: what the replay and the execution both
  // follow.
  std::vector<ProgramPoint> program(ActionKind kind) const;
};

class ActivationPlan {
 public:
  // Replays `actions` (one stage's, on chunk 0) of `micro_batches` micro-batches over a stage's
  // passes. Actions without any backward are an evaluation.
  ActivationPlan(const std::vector<BufferSpec>& buffers, const StagePasses& passes,
                 int micro_batches, const std::vector<Action>& actions);

  std::int64_t peak() const { return peak_; }  // bytes
  // Byte offset of a micro-batch's buffer during an action of this kind; -1 where the micro-batch
  // has not needed it until then.
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
