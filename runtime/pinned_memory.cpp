#include "runtime/pinned_memory.h"

#include "runtime/backend.h"

namespace masformer {

PinnedMemory::PinnedMemory(Device device, std::int64_t bytes)
    : data_(backend(device).allocate_pinned(bytes), Release{device}) {}

void PinnedMemory::Release::operator()(void* memory) const noexcept {
  backend(device).release_pinned(memory);
}

}  // namespace masformer
