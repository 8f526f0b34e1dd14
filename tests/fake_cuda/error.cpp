#include "tests/fake_cuda/error.h"

#include <utility>

namespace fake_cuda {
namespace {

cudaError_t last_error = cudaSuccess;

struct Description {
  cudaError_t error;
  const char *name, *text;
};

// The errors that the fake returns, by itself or on demand.
constexpr Description descriptions[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorSystemNotReady, "cudaErrorSystemNotReady", "system not yet initialized"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported by the fake"},
};

const Description* described(cudaError_t error) {
  for (const auto& each : descriptions)
    if (each.error == error) return &each;
  return nullptr;
}

}  // namespace

cudaError_t remembered(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace fake_cuda

using fake_cuda::described;

const char* cudaGetErrorName(cudaError_t error) {
  return described(error) ? described(error)->name : "an error unknown to the fake";
}

const char* cudaGetErrorString(cudaError_t error) {
  return described(error) ? described(error)->text : "an error unknown to the fake";
}

cudaError_t cudaGetLastError() {
  return std::exchange(fake_cuda::last_error, cudaSuccess);
}

cudaError_t cudaPeekAtLastError() {
  return fake_cuda::last_error;
}
