// Allocations on the device and of pinned host memory, copies between them, and fills.
#include <cstdlib>
#include <cstring>
#include <map>

#include "runtime/rounding.h"
#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/error.h"
#include "tests/fake_cuda/include/fake_cuda/launch.h"
#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/stream.h"

namespace {

using fake_cuda::device_memory;
using fake_cuda::remembered;

// Bytes by address. Never destroyed, since plugins free theirs late.
std::map<const std::byte*, std::size_t>& pinned_memory =
    *new std::map<const std::byte*, std::size_t>;

enum class Place { pageable, pinned, device, nowhere };

bool is_pinned(const void* start, std::size_t bytes) {
  const auto* address = static_cast<const std::byte*>(start);
  const auto next = pinned_memory.upper_bound(address);
  if (next == pinned_memory.begin()) return false;
  const auto& [first, taken] = *std::prev(next);
  const auto offset = static_cast<std::size_t>(address - first);
  return offset <= taken && bytes <= taken - offset;
}

Place place_of(const void* start, std::size_t bytes) {
  if (device_memory().holds(start, bytes)) return Place::device;
  if (device_memory().owns(start)) return Place::nowhere;
  return is_pinned(start, bytes) ? Place::pinned : Place::pageable;
}

// Whether both operands are in the memory that `kind` names.
bool places_match_kind(Place to, Place from, cudaMemcpyKind kind) {
  if (to == Place::nowhere || from == Place::nowhere) return false;
  const bool to_device = to == Place::device, from_device = from == Place::device;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

}  // namespace

void fake_cuda::require_reachable(const void* pointer) {
  if (!pointer) return;
  const Place place = place_of(pointer, 0);
  if (place != Place::device && place != Place::pinned)
    report("a kernel's argument {} points neither to the device nor to pinned memory", pointer);
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  *pointer = bytes ? device_memory().take(bytes) : nullptr;
  return remembered(bytes && !*pointer ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  fake_cuda::run_device();
  return remembered(device_memory().give_back(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = device_memory().free();
  *total = device_memory().total();
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  constexpr std::size_t page = 4096;
  *pointer = std::aligned_alloc(page, masformer::round_up(bytes, page));
  if (!*pointer) return remembered(cudaErrorMemoryAllocation);
  std::memset(*pointer, 0xff, bytes);
  pinned_memory[static_cast<std::byte*>(*pointer)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  if (!pointer) return cudaSuccess;
  fake_cuda::run_device();
  if (pinned_memory.erase(static_cast<std::byte*>(pointer)) == 0)
    return remembered(cudaErrorInvalidValue);
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  const Place place = place_of(pointer, 0);
  attributes->type = place == Place::device   ? cudaMemoryTypeDevice
                     : place == Place::pinned ? cudaMemoryTypeHost
                                              : cudaMemoryTypeUnregistered;
  attributes->hostPointer = const_cast<void*>(pointer);
  if (attributes->type != cudaMemoryTypeUnregistered)
    attributes->devicePointer = const_cast<void*>(pointer);
  return cudaSuccess;
}

// CUDA may or may not be done with pageable memory when this returns; the fake never is.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (!fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  const Place target = place_of(to, bytes), source = place_of(from, bytes);
  if (!places_match_kind(target, source, kind)) return remembered(cudaErrorInvalidValue);
  fake_cuda::enqueue(stream, [to, from, bytes] {
    std::memcpy(to, from, bytes);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr)) return error;
  fake_cuda::run_stream(nullptr);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (!fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  if (place_of(to, bytes) != Place::device) return remembered(cudaErrorInvalidValue);
  fake_cuda::enqueue(stream, [to, value, bytes] {
    std::memset(to, value, bytes);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
