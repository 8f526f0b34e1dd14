// Recomputation: which activations a block computes again in its backward instead of keeping them
// from the forward. This trades time for memory and never changes a bit of the results.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/enum_names.h"

namespace masformer {

// selective: the outputs of attention and GELU, which need much memory and little time (Korthikanti
// et al., arXiv 2205.05198). block: everything except the block's input (Chen et al., arXiv
// 1604.06174).
#define MASFORMER_RECOMPUTES(VALUE) \
  VALUE(none, "none") VALUE(selective, "selective") VALUE(block, "block")
MASFORMER_NAMED_ENUM(Recompute, MASFORMER_RECOMPUTES);
#undef MASFORMER_RECOMPUTES

// "none", "selective" or "block" for all layers, or a list with one entry per layer, in which `*n`
// repeats an entry: "block*8,none*16". Throws UsageError.
std::vector<Recompute> parse_recompute(std::string_view text, int layers);
// The inverse: one word if all layers are alike, else a list with repeats.
std::string to_string(const std::vector<Recompute>& layers);

}  // namespace masformer
