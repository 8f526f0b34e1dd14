// How cuBLASLt computes a product: its descriptors, and the kernel that it chose. Both are made
// once for each kind of product, since the choice takes longer than a small product.
#pragma once

#include <cstdint>
#include <cublasLt.h>

#include "runtime/cuda/gemm.h"
#include "runtime/cuda/stream.h"

namespace masformer::cuda {

// Throws Error with the name of the call and cuBLASLt's message.
void check(cublasStatus_t status, const char* what);

// Bytes: the alignment of a product's bias and `before`.
constexpr std::int64_t epilogue_alignment = 16;

// Everything that determines cuBLASLt's choice of a kernel. Alignments of pointers are in bytes, up
// to Arena::alignment.
struct GemmKey {
  explicit GemmKey(const Gemm& product);
  auto operator<=>(const GemmKey&) const = default;

  std::int64_t m, n, k;
  std::int64_t a_stride, b_stride, c_stride, addend_stride, before_stride;
  std::int64_t a_alignment, b_alignment, c_alignment, addend_alignment;
  DType factors, result;
  bool a_transposed, b_transposed, has_bias;
  Epilogue epilogue;
};

class GemmPlan {
 public:
  // Asks cuBLASLt for the best kernel among those that give the same bits every time.
  GemmPlan(cublasLtHandle_t library, const Gemm& product);
  GemmPlan(const GemmPlan&) = delete;
  GemmPlan& operator=(const GemmPlan&) = delete;
  ~GemmPlan() = default;

  // Not CUBLAS_STATUS_SUCCESS if there is no such kernel.
  cublasStatus_t status() const { return status_; }
  // Issues the product that the plan was made for, or another one with the same key.
  void run(cublasLtHandle_t library, const Gemm& product, CudaStream& stream);

 private:
  void describe(const Gemm& product);
  void point_at(const Gemm& product, void* bias, void* before);
  void choose(cublasLtHandle_t library, const GemmKey& key);

  cublasStatus_t status_ = CUBLAS_STATUS_NOT_INITIALIZED;
  cublasLtMatmulDescOpaque_t operation_;
  cublasLtMatrixLayoutOpaque_t first_, second_, addend_, result_;
  cublasLtMatmulAlgo_t kernel_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace masformer::cuda
