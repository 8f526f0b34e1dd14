// How attention's time grows with the sequence: forward and backward of two heads of 64, in fp32,
// from 1024 tokens to 32768, and the power of S that fits the times from 4096 on best. A window's
// should be 1, full attention's 2. Memory is what the tensors take, linear in S; nothing else grows
// with it.
//
//   masformer_attention_scaling [THREADS]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "runtime/ops/attention.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using test::OwnedTensor;

constexpr std::int64_t heads = 2, head_dim = 64;

struct Times {
  double forward = 1e9, backward = 1e9;  // seconds
};

template <class Work>
double seconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The fastest of three runs each.
Times measure(const Stream& stream, const Span& span, std::int64_t sequence) {
  const Shape shape{1, sequence, heads, head_dim}, rows{1, heads, sequence};
  const OwnedTensor q = test::normals(shape, 1), k = test::normals(shape, 2);
  const OwnedTensor v = test::normals(shape, 3), dout = test::normals(shape, 4);
  const OwnedTensor out(shape), dq(shape), dk(shape), dv(shape), lse(rows), delta(rows);
  constexpr float scale = 0.125f;
  Times times;
  for (int run = 0; run < 3; ++run) {
    const double forward = seconds_of([&] {
      attention(stream,
                {.q = q, .k = k, .v = v, .mask = {span}, .scale = scale, .out = out, .lse = lse});
    });
    const double backward = seconds_of([&] {
      attention_backward(stream, {.q = q,
                                  .k = k,
                                  .v = v,
                                  .mask = {span},
                                  .scale = scale,
                                  .out = out,
                                  .lse = lse,
                                  .dout = dout,
                                  .delta = delta,
                                  .dq = dq,
                                  .dk = dk,
                                  .dv = dv});
    });
    times = {std::min(times.forward, forward), std::min(times.backward, backward)};
  }
  return times;
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
  std::vector<double> lengths, forward, backward;
  for (std::int64_t sequence = 1024; sequence <= 32768; sequence *= 2) {
    const Times times = measure(stream, span, sequence);
    fmt::print("{:<12}{:>8}{:>12.2f}{:>12.2f}\n", text, sequence, times.forward * 1e3,
               times.backward * 1e3);
    if (sequence < 4096) continue;
    lengths.push_back(static_cast<double>(sequence));
    forward.push_back(times.forward);
    backward.push_back(times.backward);
  }
  fmt::print("{:<12}{:>8}{:>12.2f}{:>12.2f}\n\n", text, "power", power(lengths, forward),
             power(lengths, backward));
}

}  // namespace
}  // namespace masformer

int main(int argc, char** argv) {
  const masformer::Stream stream(masformer::Device::cpu, argc > 1 ? std::atoi(argv[1]) : 2);
  fmt::print("{:<12}{:>8}{:>12}{:>12}\n", "span", "tokens", "forward ms", "backward ms");
  for (const char* const span : {"window:256", "window:1024", "block:512", "full"}) {
    masformer::measure_growth(stream, span);
  }
}
