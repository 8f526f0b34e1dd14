// The shared variables of a library's kernels: the fake defines __shared__ as thread_local, so they
// are the zero-initialised part of the library's thread-local storage.
#pragma once

#include <cstddef>
#include <span>

namespace fake_cuda {

// The calling thread's copy of the __shared__ variables of the library or program that contains the
// function at address `kernel`.
std::span<std::byte> shared_memory(const void* kernel);

}  // namespace fake_cuda
