// CUDA's errors as Error.
#pragma once

#include <cuda_runtime_api.h>

#include "runtime/error.h"

namespace masformer::cuda {

// Throws Error with the name of the call and CUDA's message.
inline void check(cudaError_t status, const char* what) {
  require(status == cudaSuccess, "{} failed: {} ({})", what, cudaGetErrorString(status),
          cudaGetErrorName(status));
}

}  // namespace masformer::cuda
