// Numbers in output for people.
#pragma once

#include <cmath>
#include <limits>

namespace masformer {

// Clears the sign of a NaN, which has no meaning, so that it prints as "nan" and never as "-nan".
// Other values are unchanged.
inline double without_nan_sign(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

}  // namespace masformer
