// What a rank could compute at best, to judge its speed by.
#pragma once

#include "runtime/stream.h"

namespace masformer {

// FLOP/s of this rank at best: on a device of `dtype`, by its data sheet; on the CPU of fp32,
// measured in 0.05 s, its share where the ranks of this host outnumber the cores.
double peak_of_rank(const Stream& stream, DType dtype, int ranks_on_this_host);

}  // namespace masformer
