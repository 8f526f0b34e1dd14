// Matrix products by cuBLASLt on one stream. cuBLASLt is asked for a kernel once for each kind of
// product, and the same product on the same device gives the same bits.
#pragma once

#include <map>

#include "runtime/cuda/gemm_plan.h"

namespace masformer::cuda {

class GemmRunner final : public LibraryState {
 public:
  explicit GemmRunner(CudaStream& stream);
  GemmRunner(const GemmRunner&) = delete;
  GemmRunner& operator=(const GemmRunner&) = delete;
  ~GemmRunner() override;

  // Whether there are products of factors of `dtype`.
  bool has(DType dtype) const;
  // Throws Error that names the shapes if there is no kernel for the product.
  void multiply(const Gemm& product);
  // Returns false and issues nothing if there is no kernel: not every shape, dtype and alignment
  // can have a bias or an epilogue.
  bool try_multiply(const Gemm& product);

 private:
  GemmPlan& plan(const Gemm& product);

  CudaStream& stream_;
  cublasLtHandle_t library_ = nullptr;
  std::map<GemmKey, GemmPlan> plans_;
};

inline GemmRunner& gemms_of(const Stream& stream) {
  return cuda_stream_of(stream).library<GemmRunner>();
}

}  // namespace masformer::cuda
