#include "tests/fake_cuda/cublaslt_state.h"

#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

template <class Member>
cublasStatus_t assign(Member& member, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof member) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&member, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set(OperationState& state, cublasLtMatmulDescAttributes_t attribute,
                   const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(state.transposed_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(state.transposed_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(state.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(state.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(state.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return assign(state.aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return assign(state.aux_ld, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      return assign(state.aux_type, value, bytes);
    default:
      report("this fake knows no attribute {} of a product", static_cast<int>(attribute));
  }
}

cublasStatus_t set(PreferenceState& state, cublasLtMatmulPreferenceAttributes_t attribute,
                   const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return assign(state.workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return assign(state.reduction_schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return assign(state.a_alignment, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return assign(state.b_alignment, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return assign(state.c_alignment, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return assign(state.d_alignment, value, bytes);
    default:
      report("this fake knows no attribute {} of a preference", static_cast<int>(attribute));
  }
}

template <class State, class Opaque>
cublasStatus_t initialize(const State& state, Opaque* opaque, std::size_t bytes) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes < sizeof *opaque) return CUBLAS_STATUS_ALLOC_FAILED;
  write(state, opaque);
  return CUBLAS_STATUS_SUCCESS;
}

template <class State, class Opaque, class Attribute>
cublasStatus_t change(Opaque* opaque, Attribute attribute, const void* value, std::size_t bytes) {
  std::optional<State> state = read<State>(opaque);
  if (!state) return CUBLAS_STATUS_INVALID_VALUE;
  const cublasStatus_t status = set(*state, attribute, value, bytes);
  if (status == CUBLAS_STATUS_SUCCESS) write(*state, opaque);
  return status;
}

}  // namespace
}  // namespace fake_cuda

using namespace fake_cuda;

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t bytes,
                                                 cudaDataType type, std::uint64_t rows,
                                                 std::uint64_t columns, std::int64_t ld) {
  return initialize(LayoutState{.type = type, .rows = rows, .columns = columns, .ld = ld}, layout,
                    bytes);
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t operation, std::size_t bytes,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  return initialize(OperationState{.compute = compute, .scale = scale}, operation, bytes);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  return change<OperationState>(operation, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     std::size_t bytes) {
  return initialize(PreferenceState(), preference, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  return change<PreferenceState>(preference, attribute, value, bytes);
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "another status";
  }
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return cublasLtGetStatusName(status);
}
