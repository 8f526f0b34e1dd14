#include "model/cost/device_figures.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr double giga = 1e9, tera = 1e12, micro = 1e-6;

// Where the figures are from:
//
// cpu: one core of an Intel Xeon with AVX-512 and AMX, from the tables "Ops" and "Growth with the
// sequence" of docs/performance.md, which were measured with two threads. Attention there: 122 and
// 99 GFLOP/s at 8,192 tokens, full; 113 and 92 with a window of 1,024; 83 and 68 with 256. The
// hidden keys and the rates without them follow from these. In bf16, products run on units that
// neighbours share, at anything from 2 to 8 times the rate of fp32: 4 is assumed. Links: 3 GB/s
// from a neighbour, which also computes (parallel/context/context_order.h); between hosts, a
// network of 10 Gbit/s is assumed.
//
// h100, SXM: peaks, memory and links by the data sheet (NVLink 450 GB/s and InfiniBand 50 GB/s per
// device, each way). Published measurements: the best bf16 product 794 TFLOP/s; cuDNN's causal
// attention, head dim 128, 8k tokens, 537 forward and 426 backward, and with a window of 1,024 391
// and 282, from which the hidden keys follow. Assumed: fp32 products at 80% of their peak; 1.5 us
// per op, since a stream is ahead of its host; ops that stream reach 80% of the memory's rate, and
// links 85% of theirs.
//
// h200: the same with memory by its data sheet. cuDNN 9.27 reaches 655 and 526 there. a100, SXM 80
// GB: by the data sheet, with the shares of the peak that the H100 reaches, which are assumed.
constexpr DeviceFigures h100{.name = "h100",
                             .device = Device::cuda,
                             .fp32 = {66.9 * tera, 53 * tera, 40 * tera, 33 * tera, 2.7 * tera},
                             .bf16 = {989.4 * tera, 794 * tera, 606 * tera, 505 * tera, 2.7 * tera},
                             .hidden_keys_forward = 528,
                             .hidden_keys_backward = 759,
                             .call_seconds = 1.5 * micro,
                             .within_host = {10 * micro, 380 * giga},
                             .between_hosts = {20 * micro, 42 * giga},
                             .ranks_per_host = 8,
                             .memory_bytes = 80 * std::int64_t{1'000'000'000}};

constexpr DeviceFigures make_h200() {
  DeviceFigures h200 = h100;
  h200.name = "h200";
  h200.bf16.attention_forward = 739 * tera;
  h200.bf16.attention_backward = 623 * tera;
  h200.fp32.streamed = h200.bf16.streamed = 3.8 * tera;
  h200.memory_bytes = 141 * std::int64_t{1'000'000'000};
  return h200;
}

constexpr std::array rows{
    DeviceFigures{.name = "cpu",
                  .device = Device::cpu,
                  .fp32 = {115 * giga, 92 * giga, 62 * giga, 50 * giga, 10 * giga},
                  .bf16 = {455 * giga, 370 * giga, 94 * giga, 70 * giga, 4.5 * giga},
                  .hidden_keys_forward = 110,
                  .hidden_keys_backward = 110,
                  .call_seconds = 5 * micro,
                  .within_host = {5 * micro, 3 * giga},
                  .between_hosts = {30 * micro, 1.2 * giga}},
    DeviceFigures{.name = "a100",
                  .device = Device::cuda,
                  .fp32 = {19.5 * tera, 15.5 * tera, 12 * tera, 10 * tera, 1.6 * tera},
                  .bf16 = {312 * tera, 250 * tera, 191 * tera, 159 * tera, 1.6 * tera},
                  .hidden_keys_forward = 528,
                  .hidden_keys_backward = 759,
                  .call_seconds = 1.5 * micro,
                  .within_host = {10 * micro, 255 * giga},
                  .between_hosts = {20 * micro, 21 * giga},
                  .ranks_per_host = 8,
                  .memory_bytes = 80 * std::int64_t{1'000'000'000}},
    h100, make_h200()};

}  // namespace

std::span<const DeviceFigures> device_figures() {
  return rows;
}

const DeviceFigures& figures_named(std::string_view name) {
  const auto* const found = std::ranges::find(rows, name, &DeviceFigures::name);
  if (found != rows.end()) return *found;
  std::vector<std::string_view> names;
  for (const DeviceFigures& row : rows) names.push_back(row.name);
  refuse("there are no figures for a device named {}: use one of {}", name, fmt::join(names, ", "));
}

const DeviceFigures& figures_of(Device device) {
  return figures_named(device == Device::cpu ? "cpu" : "h100");
}

}  // namespace masformer
