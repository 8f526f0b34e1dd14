// What cudaGetLastError returns.
#pragma once

#include <cuda_runtime_api.h>

namespace cuda_double {

// Returns `error`, and keeps it where it is one.
cudaError_t remembered(cudaError_t error);

}  // namespace cuda_double
