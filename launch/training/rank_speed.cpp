#include "launch/training/rank_speed.h"

#include <algorithm>

#include <fmt/format.h>

#include "launch/training/device_choice.h"
#include "runtime/ops/linear.h"
#include "runtime/peak.h"

namespace masformer {

double peak_of_rank(const Stream& stream, DType dtype, int ranks_on_this_host) {
  if (const DeviceStream* const device = stream.device_stream()) return device->peak_flops(dtype);
  constexpr double seconds = 0.02;
  // Ranks that share cores share their speed.
  const double threads_on_this_host = static_cast<double>(stream.threads()) * ranks_on_this_host;
  const double share = std::min(1.0, host_cores() / threads_on_this_host);
  const double in_registers = share * measure_peak_flops(dtype, 1, seconds) * stream.threads();
  if (dtype != DType::bf16 || !supports_matmul(stream, dtype)) return in_registers;
  // AMX. Ranks come here at about the same time, so those that share cores do so now, too.
  return std::max(in_registers, measure_matmul_flops(stream, dtype, seconds));
}

MatmulSpeed measure_matmul_speed(const Stream& stream, Communicator& world) {
  const auto mean = [&](DType dtype) {
    constexpr double seconds = 0.015;
    world.barrier();
    return sum_over(world, measure_matmul_flops(stream, dtype, seconds)) / world.size();
  };
  MatmulSpeed speed{.fp32 = mean(DType::f32), .bf16 = {}};
  const double without_bf16 = supports_matmul(stream, DType::bf16) ? 0 : 1;
  if (sum_over(world, without_bf16) == 0) speed.bf16 = mean(DType::bf16);
  return speed;
}

std::string describe(const MatmulSpeed& speed, DType dtype) {
  std::string text = fmt::format("matmul    fp32 {:.0f} GFLOP/s, ", speed.fp32 / 1e9);
  if (!speed.bf16) return text + "per rank, measured; this CPU has no bf16 products\n";
  text += fmt::format("bf16 {:.0f} GFLOP/s, per rank, measured\n", *speed.bf16 / 1e9);
  if (dtype == DType::bf16 && *speed.bf16 < speed.fp32) {
    text += fmt::format(
        "warning   train.dtype=bf16 is slower than fp32 on this CPU: its products run at {:.2f} of "
        "fp32's speed\n",
        *speed.bf16 / speed.fp32);
  }
  return text;
}

}  // namespace masformer
