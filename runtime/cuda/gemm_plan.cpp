#include "runtime/cuda/gemm_plan.h"

#include <algorithm>

#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/ops/cuda_workspace.h"

namespace masformer::cuda {
namespace {

// Capped at Arena::alignment, which every tensor of an arena has. So the place of a tensor in its
// arena changes neither the choice of a kernel nor bits.
std::int64_t alignment(const Tensor& tensor) {
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.raw());
  return std::min(Arena::alignment, static_cast<std::int64_t>(address & (~address + 1)));
}

cudaDataType_t type_of(const Tensor& tensor) {
  return tensor.dtype() == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

// A row-major matrix, read column by column, is its transpose.
void lay_out(const Tensor& matrix, cublasLtMatrixLayoutOpaque_t& layout) {
  check(
      cublasLtMatrixLayoutInit(&layout, type_of(matrix), static_cast<std::uint64_t>(matrix.dim(1)),
                               static_cast<std::uint64_t>(matrix.dim(0)), matrix.stride(0)),
      "cublasLtMatrixLayoutInit");
}

cublasOperation_t transposition(const Factor& factor) {
  return factor.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

cublasLtEpilogue_t epilogue_of(const Gemm& product) {
  const bool bias = static_cast<bool>(product.bias);
  switch (product.epilogue) {
    case Epilogue::gelu:
      return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_backward:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::none:
      break;
  }
  return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

template <class T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute,
         const T& value) {
  check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(cublasLtMatmulPreferenceOpaque_t& preference,
         cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

}  // namespace

void check(cublasStatus_t status, const char* what) {
  require(status == CUBLAS_STATUS_SUCCESS, "{} failed: {} ({})", what,
          cublasLtGetStatusString(status), cublasLtGetStatusName(status));
}

GemmKey::GemmKey(const Gemm& p)
    : m(p.a.rows()),
      n(p.b.columns()),
      k(p.a.columns()),
      a_stride(p.a.matrix.stride(0)),
      b_stride(p.b.matrix.stride(0)),
      c_stride(p.c.stride(0)),
      addend_stride(p.addend ? p.addend.stride(0) : c_stride),
      before_stride(p.before ? p.before.stride(0) : 0),
      a_alignment(alignment(p.a.matrix)),
      b_alignment(alignment(p.b.matrix)),
      c_alignment(alignment(p.c)),
      addend_alignment(p.addend ? alignment(p.addend) : c_alignment),
      factors(p.a.matrix.dtype()),
      result(p.c.dtype()),
      a_transposed(p.a.transposed),
      b_transposed(p.b.transposed),
      has_bias(p.bias),
      epilogue(p.epilogue) {}

GemmPlan::GemmPlan(cublasLtHandle_t library, const Gemm& product) {
  describe(product);
  // cuBLASLt only reads the alignment of these two pointers here, not the memory.
  void* const aligned =
      reinterpret_cast<void*>(epilogue_alignment);  // NOLINT(performance-no-int-to-ptr)
  point_at(product, aligned, aligned);
  choose(library, GemmKey(product));
}

// cuBLASLt's matrices are column-major, so it is given the transpose of everything: c^T = b^T a^T.
void GemmPlan::describe(const Gemm& product) {
  lay_out(product.b.matrix, first_);
  lay_out(product.a.matrix, second_);
  lay_out(product.addend ? product.addend : product.c, addend_);
  lay_out(product.c, result_);
  // fp32 factors are multiplied in full fp32: TF32 would be another compute type.
  check(cublasLtMatmulDescInit(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescInit");
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, transposition(product.b));
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, transposition(product.a));
  set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(product));
  if (product.before) {
    set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, product.before.stride(0));
  }
}

void GemmPlan::point_at(const Gemm& product, void* bias, void* before) {
  if (product.bias) set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  if (product.before) set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, before);
}

void GemmPlan::choose(cublasLtHandle_t library, const GemmKey& key) {
  cublasLtMatmulPreferenceOpaque_t wish;
  check(cublasLtMatmulPreferenceInit(&wish), "cublasLtMatmulPreferenceInit");
  set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{cuda_workspace::gemm});
  // If K is split, the partial sums are added in fp32 in the workspace, in a fixed order. The other
  // schemes round them to c's dtype.
  set(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t(key.b_alignment));
  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t(key.a_alignment));
  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t(key.addend_alignment));
  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t(key.c_alignment));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  status_ = cublasLtMatmulAlgoGetHeuristic(library, &operation_, &first_, &second_, &addend_,
                                           &result_, &wish, 1, &best, &found);
  if (status_ != CUBLAS_STATUS_SUCCESS) return;
  status_ = found > 0 ? best.state : CUBLAS_STATUS_NOT_SUPPORTED;
  kernel_ = best.algo;
  workspace_bytes_ = best.workspaceSize;
}

void GemmPlan::run(cublasLtHandle_t library, const Gemm& product, CudaStream& stream) {
  point_at(product, product.bias.raw(), product.before.raw());
  const float alpha = 1, beta = product.addend ? 1.0f : 0.0f;
  const void* const addend = product.addend ? product.addend.raw() : product.c.raw();
  check(cublasLtMatmul(library, &operation_, &alpha, product.b.matrix.raw(), &first_,
                       product.a.matrix.raw(), &second_, &beta, addend, &addend_, product.c.raw(),
                       &result_, &kernel_,
                       stream.scratch(static_cast<std::int64_t>(workspace_bytes_)),
                       workspace_bytes_, stream.handle()),
        "cublasLtMatmul");
}

}  // namespace masformer::cuda
