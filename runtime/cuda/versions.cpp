// The versions of the libraries that libmasformer_cuda.so uses, for `masformer --version`.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <string>

#include <fmt/format.h>

#include "runtime/ops/attention/attention_cudnn.h"

namespace masformer::cuda {
namespace {

std::string driver() {
  int version = 0;  // stays 0 if there is no driver
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "no driver";
  return fmt::format("driver for CUDA {}.{}", version / 1000, version % 1000 / 10);
}

std::string cudnn() {
  const std::size_t version = cudnn_version();
  if (version == 0) return "no cuDNN";
  return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace
}  // namespace masformer::cuda

extern "C" void masformer_cuda_versions(std::string& text) {
  const std::size_t blas = cublasLtGetVersion();
  text = fmt::format("cuBLASLt {}.{}.{}, {}, {}", blas / 10000, blas / 100 % 100, blas % 100,
                     masformer::cuda::cudnn(), masformer::cuda::driver());
}
