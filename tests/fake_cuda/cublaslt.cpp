// cuBLASLt's products, on the fake's streams.
#include "tests/fake_cuda/cublaslt_rules.h"
#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/stream.h"

struct cublasLtContext {};

namespace fake_cuda {
namespace {

void require_on_device(const char* name, const Matrix& matrix) {
  if (device_memory().holds(matrix.data, static_cast<std::size_t>(matrix.bytes()))) return;
  report("a product's {} [{}, {}] at {} is not in the device's memory", name, matrix.rows,
         matrix.columns, matrix.data);
}

void require_on_device(const MatrixProduct& p) {
  require_on_device("a", p.a);
  require_on_device("b", p.b);
  if (p.beta != 0) require_on_device("c", p.c);
  require_on_device("d", p.d);
  if (p.epilogue & with_bias) require_on_device("bias", p.bias);
  if (p.epilogue & with_aux) require_on_device("aux", p.aux);
}

}  // namespace
}  // namespace fake_cuda

using namespace fake_cuda;

std::size_t cublasLtGetVersion() {
  return CUBLAS_VERSION;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto given = described(operation, a, b, c, d);
  const auto wish = read<PreferenceState>(preference);
  if (!given || !wish || wanted <= 0 || found == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  KernelState chosen;
  *found = 0;
  const cublasStatus_t status = choose(*given, *wish, chosen);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  *found = 1;
  results[0] = {};
  write(chosen, &results[0].algo);
  results[0].workspaceSize = chosen.workspace_bytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto given = described(operation, a_layout, b_layout, c_layout, d_layout);
  const auto chosen = read<KernelState>(algo);
  if (!given || !chosen || !is_stream(stream) || !is_for(*chosen, *given)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  MatrixProduct issued = product(*given, a, b, c, d);
  issued.alpha = *static_cast<const float*>(alpha);
  issued.beta = *static_cast<const float*>(beta);
  require_on_device(issued);
  if (!pointers_fit(*chosen, issued) || !workspace_fits(*chosen, workspace, workspace_bytes)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  enqueue(stream, [issued, workspace, bytes = chosen->workspace_bytes] {
    if (bytes > 0) std::memset(workspace, 0xff, bytes);  // the old contents are lost
    multiply(issued);
    return true;
  });
  return CUBLAS_STATUS_SUCCESS;
}
