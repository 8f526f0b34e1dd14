// Which products the fake of cuBLASLt accepts, and the alignment that its kernels require.
//
// It refuses what cuBLASLt's documentation says is refused. Three things differ there from kernel
// to kernel; here they are always required, so that tests exercise them: an epilogue on bf16 needs
// matrices whose columns all start at multiples of 16 bytes; long sums need a workspace; pointers
// must be as aligned as was promised when the kernel was chosen.
#pragma once

#include "tests/fake_cuda/cublaslt_state.h"
#include "tests/fake_cuda/matrix_product.h"

namespace fake_cuda {

struct Description {
  OperationState operation;
  LayoutState a, b, c, d;
};

// Nothing if a descriptor was not initialised.
std::optional<Description> described(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                     cublasLtMatrixLayout_t d);

MatrixProduct product(const Description& given, const void* a, const void* b, const void* c,
                      void* d);

// A kernel for such products, or the status that says why there is none.
cublasStatus_t choose(const Description& given, const PreferenceState& wish, KernelState& chosen);

// Whether the kernel was chosen for such products.
bool is_for(const KernelState& chosen, const Description& given);

bool pointers_fit(const KernelState& chosen, const MatrixProduct& product);
bool workspace_fits(const KernelState& chosen, const void* workspace, std::size_t bytes);

}  // namespace fake_cuda
