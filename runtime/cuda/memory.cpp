#include "runtime/cuda/memory.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "runtime/cuda/error.h"
#include "runtime/cuda/stream.h"

namespace masformer::cuda {
namespace {

// "13.0" for 13000.
std::string version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

[[noreturn]] void refuse_device(const char* why) {
  refuse("this machine has no CUDA device: {}; use runtime.device=cpu", why);
}

// How many devices are visible; at least one. Throws UsageError if there is none, Error if there
// are devices that cannot be used.
int count_devices() {
  // CUDA reads the variable once, at its first call. Streams that share a hardware queue wait for
  // each other, and a rank has more streams than the default of 8 queues.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  int devices = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) return devices;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");  // 0 if there is no driver
  if (driver == 0) refuse_device("libcuda.so.1 of NVIDIA's driver is not found");
  if (status == cudaSuccess) refuse_device("the driver finds none");
  if (status == cudaErrorNoDevice) refuse_device(cudaGetErrorString(status));
  fail(
      "this machine's CUDA devices can't be used: {} ({}); its driver is for CUDA {} or earlier, "
      "the program for {}; nvidia-smi may say more",
      cudaGetErrorString(status), cudaGetErrorName(status), version(driver),
      version(CUDART_VERSION));
}

}  // namespace

void* allocate(std::int64_t bytes) {
  count_devices();
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(bytes);
  const cudaError_t status = cudaMalloc(&memory, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears it, so that the next call does not report it
    std::size_t left = 0, all = 0;
    check(cudaMemGetInfo(&left, &all), "cudaMemGetInfo");
    fail("cannot allocate {:.2f} GiB of device memory: {:.2f} of {:.2f} GiB are left",
         double(bytes) / (1 << 30), double(left) / (1 << 30), double(all) / (1 << 30));
  }
  check(status, "cudaMalloc");
  check(cudaMemset(memory, 0, size), "cudaMemset");
  // Streams made with cudaStreamNonBlocking do not wait for the memset.
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  return memory;
}

void release(void* memory) noexcept {
  cudaFree(memory);
}

void* allocate_pinned(std::int64_t bytes) {
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(bytes);
  check(cudaMallocHost(&memory, size), "cudaMallocHost");
  return std::memset(memory, 0, size);
}

void release_pinned(void* memory) noexcept {
  cudaFreeHost(memory);
}

std::vector<std::string> visible_devices() {
  std::vector<std::string> ids;
  const int devices = count_devices();
  for (int index = 0; index < devices; ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    ids.push_back(bus_id(properties));
  }
  return ids;
}

std::unique_ptr<DeviceStream> make_device_stream(int index) {
  return std::make_unique<CudaStream>(index % count_devices());
}

namespace {

bool is_pinned(const void* memory) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
  return attributes.type == cudaMemoryTypeHost;
}

}  // namespace

// Waits for the stream if host memory is pageable, because CUDA may read it until the copy has run.
void copy_across(const Stream& stream, Tensor from, Tensor to) {
  if (from.elements() == 0) return;
  const bool to_host = to.device() == Device::cpu;
  // A copy to pageable memory may wait for the stream inside CUDA, where the watched objects are
  // not checked. So wait for the stream first.
  if (to_host) stream.synchronize();
  check(cudaMemcpyAsync(to.raw(), from.raw(), static_cast<std::size_t>(from.bytes()),
                        cudaMemcpyDefault, cuda_stream_of(stream).handle()),
        "cudaMemcpyAsync");
  if (to_host || !is_pinned(from.raw())) stream.synchronize();
}

}  // namespace masformer::cuda
