// What a block computes again for its backward, to keep less of its forward in memory. No choice
// changes a bit of the result.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

enum class Recompute : std::uint8_t {
  none,
  // The attended values and GELU's output: much memory, little work (Korthikanti et al., arXiv
  // 2205.05198).
  selective,
  // All but the block's input (Chen et al., arXiv 1604.06174).
  block,
};

// "none", "selective" or "block" for all layers, or a list with an entry a layer, where `*n`
// repeats: "block*8,none*16". Throws UsageError.
std::vector<Recompute> parse_recompute(std::string_view text, int layers);

}  // namespace masformer
