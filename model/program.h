// Describes how a stage processes a micro-batch, layer by layer, and which buffers it needs. This
// is plain data: the memory plan replays it, and the stage runs it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/pipeline/schedule.h"
#include "runtime/enum_names.h"
#include "runtime/tensor.h"

namespace masformer {

// Listed in the order of a step.
#define MASFORMER_PASSES(VALUE)           \
  VALUE(forward, "forward")               \
  VALUE(recompute, "recompute")           \
  VALUE(backward_input, "backward_input") \
  VALUE(backward_weight, "backward_weight")
MASFORMER_NAMED_ENUM(Pass, MASFORMER_PASSES);
#undef MASFORMER_PASSES

// One pass of one layer, by its index in the stage.
struct ProgramPoint {
  int layer = 0;
  Pass pass = Pass::forward;

  bool operator==(const ProgramPoint&) const = default;
};

// Layers [begin, end) of a stage.
struct StageLayers {
  int begin = 0;
  int end = 0;
};

// A buffer that every micro-batch needs from the start of `first_use` to the end of `last_use`.
struct BufferSpec {
  std::string name;  // for memory tables and messages
  Shape shape;
  DType dtype = DType::f32;
  ProgramPoint first_use, last_use;
  // Evaluation runs forwards only. There a buffer whose first use is a forward is needed to the end
  // of this layer's forward, and a buffer with `evaluated` only in the forward of its own layer.
  int last_forward_layer = 0;
  bool evaluated = false;
  // Released after the forwards that read it, and filled again by its layer's recomputation.
  bool recomputed = false;

  bool operator==(const BufferSpec&) const = default;
};

using BufferId = std::size_t;

// Buffers [begin, end).
struct BufferRange {
  BufferId begin = 0;
  BufferId end = 0;
};

// The order in which a stage's actions run the passes of its layers.
struct StageProgram {
  std::vector<StageLayers> chunks{};  // the layers of each chunk; they cover all layers in order
  // Ranges that are recomputed together, before the backward of their last layer.
  std::vector<StageLayers> recomputed{};

  int layers() const { return chunks.empty() ? 0 : chunks.back().end; }
  // Whether both layers are in one recomputed range, so that `reader` needs the output of `writer`
  // again.
  bool recomputed_together(int writer, int reader) const;
  std::vector<ProgramPoint> points(ActionKind kind, int chunk = 0) const;
};

}  // namespace masformer
