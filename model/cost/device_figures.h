// How fast devices are: the figures that times are estimated from (layer_times.h). They are the
// same wherever they are used, so that every rank, and every start of a run, makes the same plan
// from them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/tensor.h"

namespace masformer {

// Of layers that compute in one dtype; per device, or per core of a CPU.
struct DTypeFigures {
  double peak = 0;                // FLOP/s by the data sheet; of a CPU: measured in registers
  double product = 0;             // FLOP/s of a large matrix product
  double attention_forward = 0;   // FLOP/s of visible pairs, if a query sees many keys
  double attention_backward = 0;  // the same
  double streamed = 0;            // bytes per second that pointwise ops and norms read and write
};

struct LinkFigures {
  double message_seconds = 0;   // of an empty message
  double bytes_per_second = 0;  // that one rank sends while it receives as many
};

struct DeviceFigures {
  std::string_view name;  // of the row, as in plan.device
  Device device;
  DTypeFigures fp32, bf16;
  // Attention computes tiles, of which a mask hides a part at both ends of each query's keys. A
  // query that sees n keys costs as much as n plus these, in the forward and in the backward. This
  // is why windowed attention runs at a lower rate than full attention.
  double hidden_keys_forward = 0, hidden_keys_backward = 0;
  double call_seconds = 0;  // of an empty op
  LinkFigures within_host, between_hosts;
  int ranks_per_host = 0;         // 0: all ranks are on one host
  std::int64_t memory_bytes = 0;  // 0: whatever the host has

  const DTypeFigures& of(DType dtype) const { return dtype == DType::bf16 ? bf16 : fp32; }
  // The slowest link among this many ranks with adjacent numbers.
  const LinkFigures& link_over(int ranks) const {
    return ranks_per_host == 0 || ranks <= ranks_per_host ? within_host : between_hosts;
  }
};

std::span<const DeviceFigures> device_figures();

// The row of that name. Throws UsageError that lists the names.
const DeviceFigures& figures_named(std::string_view name);
// The row that stands for all devices of this kind where none is named.
const DeviceFigures& figures_of(Device device);

}  // namespace masformer
