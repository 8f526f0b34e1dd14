// The memory and stream functions of the CUDA backend. Their contracts are in runtime/backend.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/stream.h"

namespace masformer::cuda {

void* allocate(std::int64_t bytes);
void release(void* memory) noexcept;
void* allocate_pinned(std::int64_t bytes);
void release_pinned(void* memory) noexcept;
std::vector<std::string> visible_devices();
// `index` may exceed the number of devices: ranks then share devices.
std::unique_ptr<DeviceStream> make_device_stream(int index);
// The part of copy() (runtime/ops/elementwise.h) between host and device. Pageable memory has been
// read or written when the call returns, and so has pinned memory that was written.
void copy_across(const Stream& stream, Tensor from, Tensor to);

}  // namespace masformer::cuda
