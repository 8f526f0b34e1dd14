// Vectors of floats as wide as the instruction set's registers, and functions on them for the CPU
// backend. They are the compiler's vector types: +, -, *, / and comparisons work element by
// element. The functions trade the last unit of accuracy for speed: no tables, no branches, and few
// operations around one polynomial.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "runtime/bfloat16.h"

namespace masformer::cpu {

// Bytes of a vector register, and how many float vectors an inner loop may keep in registers.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int accumulators = 24;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int accumulators = 12;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int accumulators = 12;
#endif

using Vec = float __attribute__((vector_size(vector_bytes)));
using IntVec = std::int32_t __attribute__((vector_size(vector_bytes)));
using UnsignedVec = std::uint32_t __attribute__((vector_size(vector_bytes)));
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(float));

inline Vec splat(float x) {
  return x - Vec{};
}
inline IntVec splat_int(std::int32_t x) {
  return x - IntVec{};
}

inline Vec load(const float* from) {
  Vec x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline void store(float* to, Vec x) {
  std::memcpy(to, &x, sizeof x);
}

// Load and store only the first `count` < lanes elements; the others read as 0 and are not written.
inline Vec load_part(const float* from, int count) {
  Vec x{};
  std::memcpy(&x, from, sizeof(float) * static_cast<std::size_t>(count));
  return x;
}

inline void store_part(float* to, Vec x, int count) {
  std::memcpy(to, &x, sizeof(float) * static_cast<std::size_t>(count));
}

// The same for bf16: widened when loaded, rounded to the nearest, ties to even, when stored.
namespace detail {

using HalfVec = std::uint16_t __attribute__((vector_size(vector_bytes / 2)));

inline Vec widened(HalfVec x) {
  return std::bit_cast<Vec>(__builtin_convertvector(x, UnsignedVec) << 16);
}

inline HalfVec rounded(Vec x) {
  const auto bits = std::bit_cast<UnsignedVec>(x);
  const UnsignedVec nearest = (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
  const UnsignedVec quiet_nan = UnsignedVec{} + 0x7fc0U;
  const auto is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return __builtin_convertvector(is_nan ? quiet_nan : nearest, HalfVec);
}

}  // namespace detail

inline Vec load(const bfloat16* from) {
  detail::HalfVec x;
  std::memcpy(&x, from, sizeof x);
  return detail::widened(x);
}

inline void store(bfloat16* to, Vec x) {
  const detail::HalfVec rounded = detail::rounded(x);
  std::memcpy(to, &rounded, sizeof rounded);
}

inline Vec load_part(const bfloat16* from, int count) {
  detail::HalfVec x{};
  std::memcpy(&x, from, sizeof(bfloat16) * static_cast<std::size_t>(count));
  return detail::widened(x);
}

inline void store_part(bfloat16* to, Vec x, int count) {
  const detail::HalfVec rounded = detail::rounded(x);
  std::memcpy(to, &rounded, sizeof(bfloat16) * static_cast<std::size_t>(count));
}

// The larger of each pair; b if either is NaN.
inline Vec larger(Vec a, Vec b) {
  return a > b ? a : b;
}
inline Vec smaller(Vec a, Vec b) {
  return a < b ? a : b;
}

// The sum of all elements, by halves.
inline float sum(Vec x) {
  float parts[lanes];
  store(parts, x);
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) parts[i] += parts[i + width];
  }
  return parts[0];
}

namespace detail {

inline constexpr float ln2 = 0.693147181f;
inline constexpr float ln2_high = 0.693145752f;  // 16 bits: small integers times it are exact
inline constexpr float ln2_low = 1.42860677e-06f;
inline constexpr float log2e = 1.44269504f;
inline constexpr float rounder = 12582912.0f;  // 1.5 2^23: x + rounder has x's integer in low bits

// 2^n for the integers n = rounded - rounder in [-127, 128]; 2^-127 comes out as 0, 2^128 as inf.
inline Vec power_of_two(Vec rounded) {
  return std::bit_cast<Vec>((std::bit_cast<UnsignedVec>(rounded) << 23) + 0x3f800000U);
}

// e^r - 1 for |r| <= ln(2)/2, relative error below 3e-8 before rounding (Chebyshev interpolation).
inline Vec expm1_reduced(Vec r) {
  Vec q = r * 0.00139262131f + 0.00836320315f;
  q = q * r + 0.0416665561f;
  q = q * r + 0.166665763f;
  q = q * r + 0.5f;
  return q * (r * r) + r;
}

}  // namespace detail

// 2^x for x < 128, within 2 units in the last place. 0 below 2^-126, infinity from 2^127.5, NaN for
// NaN. Faster than exp(), since it has no upper bound to check: softmax never needs a power
// above 1.
inline Vec exp2(Vec x) {
  using namespace detail;
  x = larger(splat(-127.0f), x);
  const Vec rounded = x + rounder;
  const Vec r = (x - (rounded - rounder)) * ln2;
  return (expm1_reduced(r) + 1.0f) * power_of_two(rounded);
}

// e^x, within 2 units in the last place. 0 below 2^-126, infinity from 2^127.5, NaN for NaN.
inline Vec exp(Vec x) {
  using namespace detail;
  x = smaller(splat(128.0f * ln2), larger(splat(-127.0f * ln2), x));
  const Vec rounded = x * log2e + rounder;
  const Vec n = rounded - rounder;
  const Vec r = (x - n * ln2_high) - n * ln2_low;
  return (expm1_reduced(r) + 1.0f) * power_of_two(rounded);
}

// tanh(x), within 4 units in the last place, small x included. NaN for NaN.
inline Vec tanh(Vec x) {
  using namespace detail;
  const Vec y = smaller(splat(20.0f), 2 * (x < 0 ? -x : x));  // tanh(10) rounds to 1
  const Vec rounded = y * log2e + rounder;
  const Vec n = rounded - rounder;
  const Vec r = (y - n * ln2_high) - n * ln2_low;
  const Vec power = power_of_two(rounded);
  const Vec t = expm1_reduced(r) * power + (power - 1);  // e^y - 1
  const Vec result = t / (t + 2);
  return x < 0 ? -result : result;
}

struct SineCosine {
  Vec sine, cosine;
};

// Sine and cosine of (quadrant + r) quarter turns, for |r| <= 1/2 and any quadrant, each within
// 1e-7. Callers reduce their angles in double (the polynomials are those of the Cephes library).
inline SineCosine sine_cosine(Vec r, IntVec quadrant) {
  const Vec x = r * 1.57079633f, square = x * x;
  Vec s = square * -1.9515295891e-4f + 8.3321608736e-3f;
  s = (s * square - 1.6666654611e-1f) * square * x + x;
  Vec c = square * 2.443315711809948e-5f - 1.388731625493765e-3f;
  c = (c * square + 4.166664568298827e-2f) * square * square - 0.5f * square + 1.0f;
  const auto odd = (quadrant & 1) != 0;
  const Vec sine = odd ? c : s, cosine = odd ? s : c;
  return {(quadrant & 2) != 0 ? -sine : sine, ((quadrant + 1) & 2) != 0 ? -cosine : cosine};
}

}  // namespace masformer::cpu
