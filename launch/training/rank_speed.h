// The peak and measured compute speed of a rank, to compare a run's speed with.
#pragma once

#include <optional>
#include <string>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// Peak FLOP/s of this rank in `dtype`. On a device: from the data sheet. On the CPU: measured in
// less than 0.1 s, in registers, and reduced if the threads of this host's ranks outnumber its
// cores; in bf16 what products reach, if that is more (on AMX).
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
