// How often the host waited until a stream had next to nothing left to do: then the device is idle
// until the host has issued more, which is what a training step must not do. Waits for an event
// that has much work behind it don't count.
//
// Where the environment's FAKE_CUDA_WAITS names a file, the number is appended to it as a line
// when the program ends.
#pragma once

namespace fake_cuda {

void count_wait_for_end();

}  // namespace fake_cuda
