// The upper half of an fp32: 8 bits of exponent, 8 of precision. A type for storage only:
// arithmetic converts it to float, and a conversion from float rounds to the nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

namespace masformer {

struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  constexpr explicit bfloat16(float x) : bits(rounded(std::bit_cast<std::uint32_t>(x))) {}
  constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

 private:
  static constexpr std::uint16_t rounded(std::uint32_t x) {
    constexpr std::uint32_t quiet_nan = 0x7fc0, magnitude = 0x7fffffff, infinity = 0x7f800000;
    const std::uint32_t nearest = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    return static_cast<std::uint16_t>((x & magnitude) > infinity ? quiet_nan : nearest);
  }
};

}  // namespace masformer
