// Numbers as a person reads them.
#pragma once

#include <cmath>
#include <limits>

namespace masformer {

// A NaN prints as "nan", never as "-nan": its sign has no meaning. Other values stay.
inline double without_nan_sign(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

}  // namespace masformer
