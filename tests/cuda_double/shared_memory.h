// The shared variables of a library's kernels: the zero-initialised part of its thread-local
// storage, which the keyword __shared__ puts them into.
#pragma once

#include <cstddef>
#include <span>

namespace cuda_double {

// Those of the library, or program, that holds the function at `kernel`, for the calling thread.
std::span<std::byte> shared_memory(const void* kernel);

}  // namespace cuda_double
