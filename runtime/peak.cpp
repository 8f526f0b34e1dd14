#include "runtime/peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "runtime/arena.h"
#include "runtime/bfloat16.h"
#include "runtime/device_event.h"
#include "runtime/ops/linear.h"

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
constexpr int slice_rounds = 1 << 15;  // about half a millisecond

// One instruction of a chain.
struct FusedMultiplyAdd {
  static constexpr double flops = 2.0 * vector_bytes / sizeof(float);
  // Volatile, so that the compiler can't compute the result at compile time.
  const volatile float factor = 0.999f, summand = 0.001f;
  const Vector a = Vector{} + factor, b = Vector{} + summand;

  Vector operator()(Vector sum) const { return sum * a + b; }
};

#if defined(__AVX512BF16__)
// Adds two products of bf16 to each fp32 number.
struct Bf16DotProduct {
  static constexpr double flops = 2.0 * vector_bytes / sizeof(bfloat16);
  const volatile float factor = 0.001f;
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(factor), _mm512_set1_ps(factor));

  Vector operator()(Vector sum) const { return _mm512_dpbf16_ps(sum, a, a); }
};
#else
using Bf16DotProduct = FusedMultiplyAdd;
#endif

template <class Instruction, std::size_t... chain>
float run_slice(const Instruction& instruction, std::index_sequence<chain...>) {
  std::array<Vector, chains> sums = {(Vector{} + static_cast<float>(chain))...};
  for (int round = 0; round < slice_rounds; ++round) {
    ((sums[chain] = instruction(sums[chain])), ...);
  }
  return (sums[chain][0] + ...);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Calls `run` for about `seconds`, at least `least` times, and returns the median of its results.
// The median hardly changes if another program uses a core for a while.
template <class Run>
double median_of_runs(double seconds, std::size_t least, const Run& run) {
  const Clock::time_point start = Clock::now();
  std::vector<double> times;
  do {
    times.push_back(run());
  } while (times.size() < least || seconds_since(start) < seconds);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

template <class Instruction>
double measure_one_thread(double seconds) {
  constexpr double slice_flops = Instruction::flops * slice_rounds * chains;
  const Instruction instruction;
  return slice_flops / median_of_runs(seconds, 1, [&] {
           const Clock::time_point start = Clock::now();
           const volatile float kept = run_slice(instruction, std::make_index_sequence<chains>());
           static_cast<void>(kept);
           return seconds_since(start);
         });
}

}  // namespace

double measure_peak_flops(DType dtype, int threads, double seconds) {
  const auto measure = dtype == DType::bf16 ? measure_one_thread<Bf16DotProduct>
                                            : measure_one_thread<FusedMultiplyAdd>;
  std::vector<double> rates(static_cast<std::size_t>(threads));
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    rates[static_cast<std::size_t>(thread)] = measure(seconds);
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

double measure_matmul_flops(const Stream& stream, DType dtype, double seconds) {
  constexpr std::int64_t tokens = 256, width = 1024;
  constexpr double flops = 2.0 * tokens * width * width;
  Arena arena(stream.device(), 2 * Arena::footprint({tokens, width}, dtype) +
                                   Arena::footprint({width, width}, dtype));
  const Tensor x = arena.take({tokens, width}, dtype);
  const Tensor y = arena.take({tokens, width}, dtype);
  const Tensor weight = arena.take({width, width}, dtype);
  const auto run = [&] {
    const DeviceEvent start(stream);
    linear(stream, x, weight, {}, y);
    return DeviceEvent(stream).seconds_since(start);
  };
  run();  // chooses a kernel and starts threads
  return flops / median_of_runs(seconds, 3, run);
}

}  // namespace masformer
