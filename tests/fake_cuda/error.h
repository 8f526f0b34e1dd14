// What cudaGetLastError returns.
#pragma once

#include <cuda_runtime_api.h>

namespace fake_cuda {

// Returns `error`, and keeps it where it is one.
cudaError_t remembered(cudaError_t error);

}  // namespace fake_cuda
