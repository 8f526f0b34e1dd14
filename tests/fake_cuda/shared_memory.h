// The shared variables of a library's kernels: the zero-initialised part of its thread-local
// storage, which the keyword __shared__ puts them into.
#pragma once

#include <cstddef>
#include <span>

namespace fake_cuda {

// Those of the library, or program, that holds the function at `kernel`, for the calling thread.
std::span<std::byte> shared_memory(const void* kernel);

}  // namespace fake_cuda
