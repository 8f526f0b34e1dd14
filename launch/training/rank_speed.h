// The peak and measured compute speed of a rank, to compare a run's speed with.
#pragma once

#include <optional>
#include <string>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// Peak FLOP/s of this rank. On a device: for `dtype`, from the data sheet. On the CPU: for fp32,
// measured for 0.05 s, and reduced if the threads of this host's ranks outnumber its cores.
double peak_of_rank(const Stream& stream, DType dtype, int ranks_on_this_host);

// FLOP/s of matrix products per rank; the mean over all ranks.
struct MatmulSpeed {
  double fp32 = 0;
  std::optional<double> bf16;  // none if the CPU has no bf16 products
};

// Times products on all ranks at once, as in a training step. Takes less than 0.2 s. Collective.
MatmulSpeed measure_matmul_speed(const Stream& stream, Communicator& world);

// A line for the start page. A warning line follows if `dtype` is bf16 but fp32 is faster.
std::string describe(const MatmulSpeed& speed, DType dtype);

}  // namespace masformer
