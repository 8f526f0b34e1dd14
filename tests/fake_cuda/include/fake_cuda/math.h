// The device's scalar functions that C's <math.h> lacks. Functions that are approximate on a device
// are exact to fp32 here.
#pragma once

#include <bit>
#include <cstdint>
#include <math.h>

// glibc reserves these names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)

inline float rsqrtf(float x) {
  return 1.0f / sqrtf(x);
}
inline float __frsqrt_rn(float x) {
  return 1.0f / sqrtf(x);
}
inline float __fsqrt_rn(float x) {
  return sqrtf(x);
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return fmaf(x, y, z);
}
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fsub_rn(float x, float y) {
  return x - y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}

// The sine and cosine of pi x.
inline void sincospif(float x, float* sine, float* cosine) {
  const double angle = 3.14159265358979323846 * static_cast<double>(x);
  *sine = static_cast<float>(sin(angle));
  *cosine = static_cast<float>(cos(angle));
}

inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(x) * y >> 32);
}

// CUDA's min and max are in the global namespace, for two operands of one type.
#define MASFORMER_FAKE_CUDA_MIN_MAX(T) \
  constexpr T min(T x, T y) {          \
    return y < x ? y : x;              \
  }                                    \
  constexpr T max(T x, T y) {          \
    return x < y ? y : x;              \
  }
MASFORMER_FAKE_CUDA_MIN_MAX(int)
MASFORMER_FAKE_CUDA_MIN_MAX(unsigned)
MASFORMER_FAKE_CUDA_MIN_MAX(long)
MASFORMER_FAKE_CUDA_MIN_MAX(unsigned long)
MASFORMER_FAKE_CUDA_MIN_MAX(long long)
MASFORMER_FAKE_CUDA_MIN_MAX(unsigned long long)
#undef MASFORMER_FAKE_CUDA_MIN_MAX

// For a number and a NaN, the number.
inline float min(float x, float y) {
  return fminf(x, y);
}
inline float max(float x, float y) {
  return fmaxf(x, y);
}
inline double min(double x, double y) {
  return fmin(x, y);
}
inline double max(double x, double y) {
  return fmax(x, y);
}
