// What libmasformer_cuda.so gives to the program.
#include "runtime/backend.h"

#include "runtime/cuda/memory.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer {
namespace {

constexpr Backend table{
    .allocate = cuda::allocate,
    .release = cuda::release,
    .make_queue = cuda::make_queue,
    .copy_across = cuda::copy_across,
};

}  // namespace
}  // namespace masformer

extern "C" const masformer::Backend* masformer_cuda_backend() {
  return &masformer::table;
}
