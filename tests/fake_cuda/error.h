// The error that cudaGetLastError() returns.
#pragma once

#include <cuda_runtime_api.h>

namespace fake_cuda {

// Returns `error`, and keeps it if it is not cudaSuccess.
cudaError_t remembered(cudaError_t error);

}  // namespace fake_cuda
