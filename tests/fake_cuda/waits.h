// Counts how often the host waited until a stream had almost nothing left to do. Then the device is
// idle until the host issues more work, which must not happen within a training step. Waits for an
// event with much work behind it do not count.
//
// If the environment variable FAKE_CUDA_WAITS names a file, the count is appended to it as a line
// when the program ends.
#pragma once

namespace fake_cuda {

void count_wait_for_end();

}  // namespace fake_cuda
