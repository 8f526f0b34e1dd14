#include "runtime/cuda/gemm_runner.h"

#include "runtime/error.h"

namespace masformer::cuda {
namespace {

// The stride of Gemm::before must be a multiple of this many elements.
constexpr std::int64_t before_stride = 8;

std::string words(const Factor& factor) {
  return fmt::format("{} {}{}", name_of(factor.matrix.dtype()), factor.matrix.shape(),
                     factor.transposed ? "^T" : "");
}

}  // namespace

GemmRunner::GemmRunner(CudaStream& stream) : stream_(stream) {
  check(cublasLtCreate(&library_), "cublasLtCreate");
}

GemmRunner::~GemmRunner() {
  cublasLtDestroy(library_);
}

bool GemmRunner::has(DType dtype) const {
  return dtype == DType::f32 || (dtype == DType::bf16 && stream_.properties().major >= 8);
}

void GemmRunner::multiply(const Gemm& product) {
  GemmPlan& made = plan(product);
  require(made.status() == CUBLAS_STATUS_SUCCESS,
          "cuBLASLt has no kernel for {} times {} into {} {}: {}", words(product.a),
          words(product.b), name_of(product.c.dtype()), product.c.shape(),
          cublasLtGetStatusString(made.status()));
  made.run(library_, product, stream_);
}

bool GemmRunner::try_multiply(const Gemm& product) {
  if (product.bias && product.bias.dtype() != product.c.dtype()) return false;
  // Kernels may read the operands of an epilogue 16 bytes at a time, whatever alignment they were
  // chosen for.
  if (!product.bias.aligned(epilogue_alignment) || !product.before.aligned(epilogue_alignment)) {
    return false;
  }
  // Before Hopper, two kernels are faster than GELU as an epilogue; llm.c leaves it off there, too.
  if (product.epilogue != Epilogue::none &&
      (stream_.properties().major < 9 || product.c.dtype() != DType::bf16 ||
       product.before.stride(0) % before_stride != 0)) {
    return false;
  }
  GemmPlan& made = plan(product);
  if (made.status() != CUBLAS_STATUS_SUCCESS) return false;
  made.run(library_, product, stream_);
  return true;
}

GemmPlan& GemmRunner::plan(const Gemm& product) {
  return plans_.try_emplace(GemmKey(product), library_, product).first->second;
}

}  // namespace masformer::cuda
