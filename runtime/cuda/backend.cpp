// The table that libmasformer_cuda.so gives to the program.
#include "runtime/backend.h"

#include "runtime/cuda/memory.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer {
namespace {

constexpr Backend table{.allocate = cuda::allocate,
                        .release = cuda::release,
                        .allocate_pinned = cuda::allocate_pinned,
                        .release_pinned = cuda::release_pinned,
                        .visible_devices = cuda::visible_devices,
                        .make_device_stream = cuda::make_device_stream,
                        .supports_matmul = cuda::supports_matmul,
#define MASFORMER_OP_OF_CUDA(op, ...) .op = cuda::op,
                        MASFORMER_OPS(MASFORMER_OP_OF_CUDA)
#undef MASFORMER_OP_OF_CUDA
};

}  // namespace
}  // namespace masformer

extern "C" const masformer::Backend* masformer_cuda_backend() {
  return &masformer::table;
}
