#include "tests/fake_cuda/cublaslt_rules.h"

#include <algorithm>
#include <initializer_list>

#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

constexpr std::int64_t vector_bytes = 16;
constexpr std::int64_t long_sum = 256;  // elements
constexpr std::uint64_t long_sum_workspace = 1 << 16;
constexpr std::uintptr_t workspace_alignment = 256;

Matrix matrix(const LayoutState& layout, const void* data) {
  return {const_cast<void*>(data), static_cast<cudaDataType_t>(layout.type),
          static_cast<std::int64_t>(layout.rows), static_cast<std::int64_t>(layout.columns),
          layout.ld};
}

bool well_formed(const LayoutState& layout) {
  if (layout.order != CUBLASLT_ORDER_COL) report("this fake knows only column-major matrices");
  return layout.rows > 0 && layout.columns > 0 &&
         layout.ld >= static_cast<std::int64_t>(layout.rows);
}

bool shapes_agree(const MatrixProduct& p) {
  const std::int64_t a_rows = p.a_transposed ? p.a.columns : p.a.rows;
  const std::int64_t b_rows = p.b_transposed ? p.b.columns : p.b.rows;
  const std::int64_t b_columns = p.b_transposed ? p.b.rows : p.b.columns;
  return a_rows == p.m() && b_rows == p.k() && b_columns == p.n() && p.c.rows == p.m() &&
         p.c.columns == p.n();
}

bool types_go_together(const Description& given) {
  const auto is = [](const LayoutState& layout, cudaDataType_t type) {
    return layout.type == type;
  };
  const bool factors_bf16 = is(given.a, CUDA_R_16BF) && is(given.b, CUDA_R_16BF);
  const bool factors_fp32 = is(given.a, CUDA_R_32F) && is(given.b, CUDA_R_32F);
  return given.operation.compute == CUBLAS_COMPUTE_32F && given.operation.scale == CUDA_R_32F &&
         given.c.type == given.d.type &&
         (is(given.d, CUDA_R_32F) ? factors_bf16 || factors_fp32
                                  : is(given.d, CUDA_R_16BF) && factors_bf16);
}

std::uint64_t alignment(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return std::min<std::uint64_t>(address & (~address + 1), 256);
}

bool on_borders(const Matrix& matrix, std::uint64_t alignment) {
  return alignment % vector_bytes == 0 && matrix.ld * size_of(matrix.type) % vector_bytes == 0;
}

cublasStatus_t check_epilogue(const OperationState& operation, const MatrixProduct& p) {
  switch (operation.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DGELU:
      break;
    default:
      report("this fake knows no epilogue {}", operation.epilogue);
  }
  const bool bias = operation.epilogue & with_bias, aux = operation.epilogue & with_aux;
  if (bias && operation.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (aux && (operation.aux == nullptr || operation.aux_ld % 8 != 0 || operation.aux_ld < p.m())) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto other_type = [&](std::int32_t type) { return type != -1 && type != p.d.type; };
  if ((bias && other_type(operation.bias_type)) || (aux && other_type(operation.aux_type)) ||
      (aux && p.d.type != CUDA_R_16BF) || (operation.epilogue & with_gelu_slope && p.k() == 1)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// FNV-1a of everything that a kernel is chosen for.
std::uint64_t digest(const Description& given) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](auto value) { hash = (hash ^ std::uint64_t(value)) * 0x100000001b3; };
  for (const LayoutState& layout : {given.a, given.b, given.c, given.d}) {
    for (const std::uint64_t each :
         {std::uint64_t(layout.type), layout.rows, layout.columns, std::uint64_t(layout.ld)}) {
      add(each);
    }
  }
  const OperationState& operation = given.operation;
  add(operation.transposed_a);
  add(operation.transposed_b);
  add(operation.epilogue);
  add(operation.aux_ld);
  return hash;
}

// The part of a promised alignment that the kernel uses.
std::uint16_t used(const Matrix& matrix, std::uint64_t promised) {
  return static_cast<std::uint16_t>(on_borders(matrix, promised) ? vector_bytes
                                                                 : size_of(matrix.type));
}

KernelState kernel(const Description& given, const MatrixProduct& p, const PreferenceState& wish) {
  const bool takes_workspace = p.k() >= long_sum && wish.workspace_bytes >= long_sum_workspace;
  return {.a_alignment = used(p.a, wish.a_alignment),
          .b_alignment = used(p.b, wish.b_alignment),
          .c_alignment = used(p.c, wish.c_alignment),
          .d_alignment = used(p.d, wish.d_alignment),
          .bias_alignment = used(p.bias, alignment(p.bias.data)),
          .aux_alignment = used(p.aux, alignment(p.aux.data)),
          .workspace_bytes = takes_workspace ? long_sum_workspace : 0,
          .products = digest(given)};
}

}  // namespace

std::optional<Description> described(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                     cublasLtMatrixLayout_t d) {
  const auto state = read<OperationState>(operation);
  const auto layout_a = read<LayoutState>(a), layout_b = read<LayoutState>(b),
             layout_c = read<LayoutState>(c), layout_d = read<LayoutState>(d);
  if (!state || !layout_a || !layout_b || !layout_c || !layout_d) return std::nullopt;
  return Description{*state, *layout_a, *layout_b, *layout_c, *layout_d};
}

MatrixProduct product(const Description& given, const void* a, const void* b, const void* c,
                      void* d) {
  const OperationState& operation = given.operation;
  MatrixProduct result{.a = matrix(given.a, a),
                       .b = matrix(given.b, b),
                       .c = matrix(given.c, c),
                       .d = matrix(given.d, d),
                       .a_transposed = operation.transposed_a == CUBLAS_OP_T,
                       .b_transposed = operation.transposed_b == CUBLAS_OP_T,
                       .epilogue = operation.epilogue};
  result.bias = {operation.bias, result.d.type, result.m(), 1, result.m()};
  result.aux = {operation.aux, result.d.type, result.m(), result.n(), operation.aux_ld};
  return result;
}

cublasStatus_t choose(const Description& given, const PreferenceState& wish, KernelState& chosen) {
  for (const LayoutState& layout : {given.a, given.b, given.c, given.d}) {
    if (!well_formed(layout)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const MatrixProduct p = product(given, nullptr, nullptr, nullptr, nullptr);
  if (!shapes_agree(p)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!types_go_together(given)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const cublasStatus_t status = check_epilogue(given.operation, p);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  chosen = kernel(given, p, wish);
  const bool all_on_borders = std::min({chosen.a_alignment, chosen.b_alignment, chosen.c_alignment,
                                        chosen.d_alignment}) == vector_bytes;
  if (p.epilogue != CUBLASLT_EPILOGUE_DEFAULT && p.a.type == CUDA_R_16BF && !all_on_borders) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

bool is_for(const KernelState& chosen, const Description& given) {
  return chosen.products == digest(given);
}

bool pointers_fit(const KernelState& chosen, const MatrixProduct& p) {
  const auto fits = [](const Matrix& matrix, std::uint64_t wanted) {
    return alignment(matrix.data) % wanted == 0;
  };
  return fits(p.a, chosen.a_alignment) && fits(p.b, chosen.b_alignment) &&
         (p.beta == 0 || fits(p.c, chosen.c_alignment)) && fits(p.d, chosen.d_alignment) &&
         (!(p.epilogue & with_bias) || fits(p.bias, chosen.bias_alignment)) &&
         (!(p.epilogue & with_aux) || fits(p.aux, chosen.aux_alignment));
}

bool workspace_fits(const KernelState& chosen, const void* workspace, std::size_t bytes) {
  if (chosen.workspace_bytes == 0) return true;
  return bytes >= chosen.workspace_bytes && alignment(workspace) >= workspace_alignment &&
         device_memory().holds(workspace, chosen.workspace_bytes);
}

}  // namespace fake_cuda
