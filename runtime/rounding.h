// Division of counts into blocks, and rounding up to whole ones. constexpr, so that kernels on any
// device can use it.
#pragma once

#include <concepts>
#include <type_traits>

namespace masformer {

// The number of blocks of `size` that cover `count` elements. Requires count >= 0, size > 0.
template <std::integral Int>
constexpr Int ceil_div(Int count, std::type_identity_t<Int> size) {
  return (count + size - 1) / size;
}

// The least multiple of `step` that is at least `count`.
template <std::integral Int>
constexpr Int round_up(Int count, std::type_identity_t<Int> step) {
  return ceil_div(count, step) * step;
}

}  // namespace masformer
