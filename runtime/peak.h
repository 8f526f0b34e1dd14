// Measures how fast this machine computes: its peak, and the speed of matrix products like those of
// training.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// The operations per second in fp32 or bf16 (a fused multiply-add counts as 2) of `threads` cores
// together, in registers only. In bf16 those of AVX-512 BF16, or the same as in fp32 in a
// build that does not target it; the tiles of AMX are faster. Takes about `seconds`.
double measure_peak_flops(DType dtype, int threads, double seconds);

// Operations per second of linear() (ops/linear.h) in fp32 or bf16, of 256 tokens with 1,024 inputs
// and outputs: the median of as many calls as `seconds` allow, at least three, after one that is
// not counted. It shows where bf16 is slower than fp32, as on CPUs that have AVX-512 but no AMX.
// The product is too small to fill a GPU. Uses 3 MiB (bf16) or 6 MiB of device memory while it
// runs. Requires supports_matmul(stream, dtype).
double measure_matmul_flops(const Stream& stream, DType dtype, double seconds = 0.05);

}  // namespace masformer
