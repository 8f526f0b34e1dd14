#include "launch/training/rank_speed.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include <fmt/format.h>

#include "launch/training/device_choice.h"
#include "runtime/arena.h"
#include "runtime/ops/linear.h"
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

namespace {

// The rate of the median of some products, after one that prepares the kernel: one that another
// program delays doesn't count.
double time_products(const Stream& stream, DType dtype) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t n = 512;  // large enough for a kernel's full rate
  constexpr std::chrono::milliseconds limit(40);
  const Shape shape{n, n};
  Arena memory(stream.device(), 3 * Arena::footprint(shape, dtype));
  const Tensor x = memory.take(shape, dtype), weight = memory.take(shape, dtype);
  const Tensor y = memory.take(shape, dtype);
  linear(stream, x, weight, {}, y);
  std::vector<double> seconds;
  const Clock::time_point start = Clock::now();
  do {
    const Clock::time_point before = Clock::now();
    linear(stream, x, weight, {}, y);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  } while (Clock::now() - start < limit);
  const auto median = seconds.begin() + std::ssize(seconds) / 2;
  std::ranges::nth_element(seconds, median);
  return 2.0 * n * n * n / *median;
}

}  // namespace

MatmulSpeed measure_matmul_speed(const Stream& stream, Communicator& world) {
  const auto mean = [&](DType dtype) {
    world.barrier();
    return sum_over(world, time_products(stream, dtype)) / world.size();
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
