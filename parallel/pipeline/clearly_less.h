// Comparing costs, which are sums of doubles in one order or another.
#pragma once

namespace masformer {

// Relative differences up to this size are taken for rounding.
inline constexpr double rounding = 1e-9;

inline bool clearly_less(double a, double b) {
  return a * (1 + rounding) < b;
}

}  // namespace masformer
