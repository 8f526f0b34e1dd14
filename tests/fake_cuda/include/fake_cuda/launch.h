// The templates of CUDA's C++ interface.
#pragma once

#include <cuda_runtime_api.h>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace fake_cuda {

// Issues a grid in which each thread calls `thread`. `kernel` is the function that this calls; the
// shared variables of its library are poisoned before each block.
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread);

// Stops the program unless `pointer`, an argument of a kernel, is null, on the device, or pinned.
void require_reachable(const void* pointer);

template <class T>
void require_reachable_argument(const T& argument) {
  if constexpr (std::is_pointer_v<T>) require_reachable(argument);
}

}  // namespace fake_cuda

// Finds pointers to host memory, which a device cannot read, among the arguments, but not among the
// members of arguments.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  std::tuple<std::decay_t<Parameters>...> copies{std::forward<Arguments>(arguments)...};
  std::apply([](const auto&... each) { (fake_cuda::require_reachable_argument(each), ...); },
             copies);
  return fake_cuda::launch(*config, reinterpret_cast<const void*>(kernel),
                           [kernel, copies] { std::apply(kernel, copies); });
}

template <class T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}

template <class T>
cudaError_t cudaMallocHost(T** pointer, size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(pointer), bytes);
}

template <class Result, class... Parameters>
cudaError_t cudaFuncSetAttribute(Result (*kernel)(Parameters...), cudaFuncAttribute attribute,
                                 int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
