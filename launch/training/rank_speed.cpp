#include "launch/training/rank_speed.h"

#include <algorithm>

#include "launch/training/device_choice.h"
#include "runtime/peak.h"

namespace masformer {

double peak_of_rank(const Stream& stream, DType dtype, int ranks_on_this_host) {
  if (const DeviceStream* const device = stream.device_stream()) return device->peak_flops(dtype);
  constexpr double seconds = 0.05;
  // Ranks that share cores share what these can do.
  const double threads_on_this_host = static_cast<double>(stream.threads()) * ranks_on_this_host;
  const double share = std::min(1.0, host_cores() / threads_on_this_host);
  return share * measure_peak_flops(1, seconds) * stream.threads();
}

}  // namespace masformer
