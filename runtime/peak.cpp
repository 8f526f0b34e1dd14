#include "runtime/peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace masformer {
namespace {

#if defined(__AVX512F__)
constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX__)
constexpr std::size_t vector_bytes = 32;
#else
constexpr std::size_t vector_bytes = 16;
#endif
using Vector [[gnu::vector_size(vector_bytes)]] = float;

// Independent chains: more than latency x ports of any core, fewer than its registers.
constexpr std::size_t chains = 12;
constexpr int rounds = 1 << 15;  // a slice of about half a millisecond
constexpr double slice_flops = 2.0 * rounds * chains * (vector_bytes / sizeof(float));

template <std::size_t... chain>
float run_slice(std::index_sequence<chain...>) {
  std::array<Vector, chains> sums = {(Vector{} + static_cast<float>(chain))...};
  // Not known when compiled, so that nothing is worked out ahead.
  const volatile float factor = 0.999f, summand = 0.001f;
  const Vector a = Vector{} + factor, b = Vector{} + summand;
  for (int round = 0; round < rounds; ++round) ((sums[chain] = sums[chain] * a + b), ...);
  return (sums[chain][0] + ...);
}

// The rate of the median slice: a core that another program takes for a while doesn't count.
double measure_one_thread(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const Clock::time_point start = Clock::now();
  std::vector<double> slices;
  do {
    const Clock::time_point slice_start = Clock::now();
    const volatile float kept = run_slice(std::make_index_sequence<chains>());
    static_cast<void>(kept);
    slices.push_back(since(slice_start));
  } while (since(start) < seconds);
  const auto middle = slices.begin() + static_cast<std::ptrdiff_t>(slices.size() / 2);
  std::ranges::nth_element(slices, middle);
  return slice_flops / *middle;
}

}  // namespace

double measure_peak_flops(int threads, double seconds) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    rates[static_cast<std::size_t>(thread)] = measure_one_thread(seconds);
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace masformer
