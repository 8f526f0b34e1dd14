// The bytes that the ranks of a stage send for a layer.
#pragma once

#include "model/stage_spec.h"

namespace masformer {

// For each row of keys and values that a context rank receives in a layer's attention, in one
// direction (ContextWork::received counts them). Keys and values travel in the layers' dtype, and
// their gradients in fp32. The backward fetches the rows again unless they were kept. By heads,
// gradients travel in the layers' dtype, and nothing twice.
double bytes_per_row(const StageSpec& stage, const LayerFlops& flops, ContextFull full,
                     bool backward);

// What all ranks of one tensor group, and of one context group, send together for one micro-batch
// in all passes.
struct LayerBytes {
  double tensor = 0;
  double context = 0;  // of whole sequences: documents within a sample are not known
};

LayerBytes sent_bytes(const StageSpec& stage, int layer, ContextFull full);

}  // namespace masformer
