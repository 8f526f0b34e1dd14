// What a stage does to a micro-batch, layer by layer, and the buffers that it needs meanwhile:
// plain data, from which memory is planned and by which the stage runs.
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

// A buffer that every micro-batch needs, from the start of the point `first_use` to the end of the
// point `last_use`.
struct BufferSpec {
  std::string name;  // for people: memory tables and messages
  Shape shape;
  DType dtype = DType::f32;
  ProgramPoint first_use, last_use;
  // Evaluation runs forwards only: there the buffer lives to the end of this layer's forward if its
  // first use is a forward, in its own layer's forward alone if `evaluated` is set, and else never.
  int last_forward_layer = 0;
  bool evaluated = false;
  // Released after the forwards that read it, and filled again when its layer is recomputed.
  bool recomputed = false;
};

using BufferId = std::size_t;

// Buffers [begin, end).
struct BufferRange {
  BufferId begin = 0;
  BufferId end = 0;
};

// The order in which a stage's actions go through its layers: what the plan replays and the stage
// runs.
struct StageProgram {
  std::vector<StageLayers> chunks{};  // the layers of each chunk; they cover all layers in order
  std::vector<StageLayers>
      recomputed{};  // computed again, together, before the backward of the last

  int layers() const { return chunks.empty() ? 0 : chunks.back().end; }
  // Whether layer `reader` is computed again right after `writer`, whose output it needs for that.
  bool recomputed_together(int writer, int reader) const;
  std::vector<ProgramPoint> points(ActionKind kind, int chunk = 0) const;
};

}  // namespace masformer
