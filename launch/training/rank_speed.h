// What a rank could compute at best, to judge its speed by.
#pragma once

#include <optional>
#include <string>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// FLOP/s of this rank at best: on a device of `dtype`, by its data sheet; on the CPU of fp32,
// measured in 0.05 s, its share where the ranks of this host outnumber the cores.
double peak_of_rank(const Stream& stream, DType dtype, int ranks_on_this_host);

// FLOP/s of matrix products per rank, the mean of all ranks.
struct MatmulSpeed {
  double fp32 = 0;
  std::optional<double> bf16;  // none where the CPU has no bf16 products
};

// Times products on all ranks at once, as a step has them, in less than 0.2 s. Collective.
MatmulSpeed measure_matmul_speed(const Stream& stream, Communicator& world);

// A line of the start page on it, and a warning line where `dtype` is bf16, and fp32 is faster.
std::string describe(const MatmulSpeed& speed, DType dtype);

}  // namespace masformer
