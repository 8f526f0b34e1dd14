// Measures how attention's time and memory grow with the sequence: forward and backward of two
// heads of 64 in fp32, from 1024 to 32768 tokens, and the powers of S that fit best from 4096 on.
// Time should grow with the power 1 under a window and 2 under full attention, memory always with
// 1. Memory is the peak of the process minus its memory before.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <malloc.h>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"

namespace masformer::test {
namespace {

constexpr std::int64_t heads = 2, head_dim = 64;

// The peak of the process's memory since forget_peak(), in bytes.
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024.0 * std::stod(line.substr(6));
  }
  return 0;
}

void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << 5;
}

struct Cost {
  double forward = 0, backward = 0;  // seconds
  double memory = 0;                 // bytes
};

Cost measure(const Stream& stream, const Span& span, std::int64_t sequence) {
  forget_peak();
  const double before = peak_memory();
  const AttentionRun run(sequence, heads, head_dim, DType::f32, span);
  Cost cost;
  cost.forward = fastest(3, 0, [&] { run.forward(stream); });
  cost.backward = fastest(3, 0, [&] { run.backward(stream); });
  cost.memory = peak_memory() - before;
  return cost;
}

// The slope of log(y) over log(x) by least squares.
double power(const std::vector<double>& x, const std::vector<double>& y) {
  double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = std::log(x[i]), b = std::log(y[i]);
    sum_x += a, sum_y += b, sum_xx += a * a, sum_xy += a * b;
  }
  const auto n = static_cast<double>(x.size());
  return (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
}

void measure_growth(const Stream& stream, const std::string& text) {
  const Span span = parse_span(text);
  std::vector<double> lengths, forward, backward, memory;
  for (std::int64_t sequence = 1024; sequence <= 32768; sequence *= 2) {
    const Cost cost = measure(stream, span, sequence);
    fmt::print("{:<12}{:>8}{:>12.2f}{:>12.2f}{:>12.1f}\n", text, sequence, cost.forward * 1e3,
               cost.backward * 1e3, cost.memory / (1 << 20));
    if (sequence < 4096) continue;
    lengths.push_back(static_cast<double>(sequence));
    forward.push_back(cost.forward);
    backward.push_back(cost.backward);
    memory.push_back(cost.memory);
  }
  fmt::print("{:<12}{:>8}{:>12.2f}{:>12.2f}{:>12.2f}\n\n", text, "power", power(lengths, forward),
             power(lengths, backward), power(lengths, memory));
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{"usage: masformer_attention_scaling [THREADS (2)]\n", 1};
  return test::run_benchmark(argc, argv, usage, [](const test::Arguments& arguments) {
    mallopt(M_MMAP_THRESHOLD,
            1 << 17);  // returns freed memory to the system, so that it is not counted
    const Stream stream(Device::cpu, arguments.number(0, 2));
    fmt::print("{:<12}{:>8}{:>12}{:>12}{:>12}\n", "span", "tokens", "forward ms", "backward ms",
               "MiB");
    for (const char* const span : {"window:256", "window:1024", "block:512", "full"}) {
      test::measure_growth(stream, span);
    }
  });
}
