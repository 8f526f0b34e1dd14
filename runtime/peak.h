// How fast this machine computes: at best, to judge speeds by, and in products as training runs
// them.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// fp32 operations per second (a fused multiply-add counts as 2) of `threads` cores that work at
// once, in registers only. Takes about `seconds`.
double measure_peak_flops(int threads, double seconds);

// Operations per second of linear() (ops/linear.h) in fp32 or bf16, of 256 tokens with 1,024 inputs
// and outputs: the median of as many calls as `seconds` allow, at least three, after one that is
// not counted. It shows where bf16 is slower than fp32, as on CPUs that have AVX-512 but no AMX.
// The product is too small to fill a GPU. Takes 3 MiB (bf16) or 6 MiB of the device's memory while
// it runs. Requires supports_matmul(stream, dtype).
double measure_matmul_flops(const Stream& stream, DType dtype, double seconds = 0.05);

}  // namespace masformer
