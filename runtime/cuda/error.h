// CUDA's errors as Error.
#pragma once

#include <cuda_runtime_api.h>

#include "runtime/error.h"

namespace masformer::cuda {

// Throws Error that names the call and CUDA's own words.
inline void check(cudaError_t status, const char* what) {
  require(status == cudaSuccess, "{} failed: {} ({})", what, cudaGetErrorString(status),
          cudaGetErrorName(status));
}

}  // namespace masformer::cuda
