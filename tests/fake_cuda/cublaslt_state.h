// The contents of cuBLASLt's opaque descriptors in the fake.
#pragma once

#include <cstdint>
#include <cstring>
#include <cublasLt.h>
#include <optional>

namespace fake_cuda {

// Each begins with a number that identifies its kind and is not found in uninitialised memory.
struct LayoutState {
  std::uint32_t mark = 0xb1a50001;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::int32_t type = -1;
  std::uint64_t rows = 0, columns = 0;
  std::int64_t ld = 0;
};

struct OperationState {
  std::uint32_t mark = 0xb1a50002;
  std::int32_t compute = -1, scale = -1;
  std::int32_t transposed_a = CUBLAS_OP_N, transposed_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::int32_t bias_type = -1, aux_type = -1;
  void* bias = nullptr;
  void* aux = nullptr;
  std::int64_t aux_ld = 0;
};

struct PreferenceState {
  std::uint32_t mark = 0xb1a50003;
  std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint64_t workspace_bytes = 0;
  std::uint32_t a_alignment = 256, b_alignment = 256, c_alignment = 256, d_alignment = 256;
};

// A kernel: the products that it computes, and the alignment and workspace that it requires.
struct KernelState {
  std::uint32_t mark = 0xb1a50004;
  std::uint16_t a_alignment = 0, b_alignment = 0, c_alignment = 0, d_alignment = 0;
  std::uint16_t bias_alignment = 0, aux_alignment = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t products = 0;  // a digest of their description
};

template <class State, class Opaque>
void write(const State& state, Opaque* opaque) {
  static_assert(sizeof(State) <= sizeof(Opaque));
  std::memcpy(opaque, &state, sizeof state);
}

// Nothing if there is no such state.
template <class State, class Opaque>
std::optional<State> read(const Opaque* opaque) {
  if (opaque == nullptr) return std::nullopt;
  State state;
  std::memcpy(static_cast<void*>(&state), opaque, sizeof state);
  if (state.mark != State().mark) return std::nullopt;
  return state;
}

}  // namespace fake_cuda
