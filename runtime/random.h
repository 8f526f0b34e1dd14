// Random numbers as pure functions of a key and an index, so that neither the layout nor the order
// of drawing changes them.
#pragma once

#include <cstdint>
#include <string_view>

namespace masformer {

// A well-mixed function of its arguments (the finaliser of SplitMix64, applied in turn).
std::uint64_t mix(std::uint64_t a, std::uint64_t b);
std::uint64_t mix(std::uint64_t a, std::string_view text);

// Element `index` of a sequence of standard normal numbers, which `stream` selects (Box-Muller over
// mix()).
double normal(std::uint64_t stream, std::uint64_t index);

// The position of `index` in the random permutation of [0, size) that `key` selects: a Feistel
// network with cycle walking. It is a bijection for every key, and needs no table. Requires
// index < size.
std::uint64_t permute(std::uint64_t index, std::uint64_t size, std::uint64_t key);

}  // namespace masformer
