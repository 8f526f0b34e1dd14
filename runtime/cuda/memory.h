// Memory and queues of a CUDA device: the Backend's, whose contracts stand in runtime/backend.h.
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
// Ranks beyond the number of devices share them.
std::unique_ptr<DeviceStream> make_device_stream(int index);
// What goes to the device from pageable memory has been read when the call returns.
void copy_across(const Stream& stream, Tensor from, Tensor to);

}  // namespace masformer::cuda
