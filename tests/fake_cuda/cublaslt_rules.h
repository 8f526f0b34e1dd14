// Which products the double of cuBLASLt takes, and what its kernels ask of pointers.
//
// Refused is what the real one's documentation says that it refuses, and three things that differ
// from kernel to kernel there and are settled here so that callers meet them: an epilogue on bf16
// takes matrices whose columns all start on borders of 16 bytes; long sums take a workspace; a
// kernel takes pointers as aligned as was promised.
#pragma once

#include "tests/fake_cuda/cublaslt_state.h"
#include "tests/fake_cuda/matrix_product.h"

namespace fake_cuda {

struct Description {
  OperationState operation;
  LayoutState a, b, c, d;
};

// None where a descriptor was not initialised.
std::optional<Description> described(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                     cublasLtMatrixLayout_t d);

MatrixProduct product(const Description& given, const void* a, const void* b, const void* c,
                      void* d);

// A kernel for such products, or why there is none.
cublasStatus_t choose(const Description& given, const PreferenceState& wish, KernelState& chosen);

// Whether the kernel was chosen for such products.
bool is_for(const KernelState& chosen, const Description& given);

bool pointers_fit(const KernelState& chosen, const MatrixProduct& product);
bool workspace_fits(const KernelState& chosen, const void* workspace, std::size_t bytes);

}  // namespace fake_cuda
