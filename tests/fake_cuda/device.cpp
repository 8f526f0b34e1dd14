// The fake device, with the properties of a Hopper GPU except its size. MASFORMER_FAKE_CUDA_OWN
// says which devices are visible to a rank. By default, all ranks see the same one. "device": each
// sees only its own. "part": each sees its own part (MIG) of one device. "socket": even ranks see
// two devices, and odd ranks see two others. "more": rank 0 sees one device, and the others see
// that one and another. MASFORMER_FAKE_CUDA_BROKEN is an error that keeps the program from using
// the device.
#include <cstdlib>
#include <cstring>

#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/error.h"

namespace {

using fake_cuda::remembered;

// This process's rank under mpirun.
int rank() {
  const char* const rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return rank ? std::atoi(rank) : 0;
}

bool ranks_own(const char* what) {
  const char* const own = std::getenv("MASFORMER_FAKE_CUDA_OWN");
  return own != nullptr && std::strcmp(own, what) == 0;
}

int devices_shown() {
  return ranks_own("socket") || (ranks_own("more") && rank() > 0) ? 2 : 1;
}

// The index among all of the machine's devices.
int number_of(int index) {
  if (ranks_own("socket")) return 2 * (rank() % 2) + index;
  if (ranks_own("more")) return index;
  return ranks_own("device") || ranks_own("part") ? rank() : 0;
}

bool is_shown(int index) {
  return index >= 0 && index < devices_shown();
}

int current = 0;

cudaDeviceProp properties(int index) {
  cudaDeviceProp device{};
  device.uuid.bytes[0] = static_cast<char>(number_of(index));
  device.pciBusID = ranks_own("part") ? 0 : number_of(index);
  std::strcpy(device.name, "fake");
  device.major = 9;
  device.minor = 0;
  device.totalGlobalMem = fake_cuda::device_memory().total();
  device.multiProcessorCount = 6;
  device.warpSize = 32;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiProcessor = 2048;
  device.maxBlocksPerMultiProcessor = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerBlockOptin = 227 << 10;
  device.sharedMemPerMultiprocessor = 228 << 10;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.l2CacheSize = 50 << 20;
  device.asyncEngineCount = 3;
  device.concurrentKernels = device.unifiedAddressing = 1;
  return device;
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices_shown();
  const char* const broken = std::getenv("MASFORMER_FAKE_CUDA_BROKEN");
  return remembered(broken ? static_cast<cudaError_t>(std::atoi(broken)) : cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
  if (!is_shown(device)) return remembered(cudaErrorInvalidDevice);
  current = device;
  return remembered(cudaSuccess);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
  if (!is_shown(device)) return remembered(cudaErrorInvalidDevice);
  *out = properties(device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!is_shown(device)) return remembered(cudaErrorInvalidDevice);
  const cudaDeviceProp all = properties(device);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = all.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = all.minor;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = all.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = all.maxThreadsPerMultiProcessor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(all.sharedMemPerBlockOptin);
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = all.l2CacheSize;
      return cudaSuccess;
    default:
      return remembered(cudaErrorNotSupported);
  }
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
