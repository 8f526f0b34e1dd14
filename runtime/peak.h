// What the processor could do at best, to judge speeds by.
#pragma once

namespace masformer {

// fp32 operations a second (a fused multiply-add counts as 2) of `threads` cores at work together
// in registers alone. Takes about `seconds`.
double measure_peak_flops(int threads, double seconds);

}  // namespace masformer
