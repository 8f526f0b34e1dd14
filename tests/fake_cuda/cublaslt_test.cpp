// The fake's products against their definition, and what it refuses.
#include <cmath>
#include <cublasLt.h>

#include "runtime/bfloat16.h"
#include "tests/fake_cuda/test_support.h"

namespace fake_cuda {
namespace {

using masformer::bfloat16;

// D [m, n] = op(A) op(B) + beta C, each column-major with a gap between its columns.
struct Problem {
  std::uint64_t m = 8, n = 16, k = 24;
  bool a_transposed = false, b_transposed = false;
  cudaDataType_t factors = CUDA_R_16BF, result = CUDA_R_16BF;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::int64_t gap = 8, aux_ld = 8;
  std::uint32_t alignment = 256;
};

class Planned {
 public:
  explicit Planned(const Problem& p, void* bias = nullptr, void* aux = nullptr) : p_(p) {
    cublasLtCreate(&handle_);
    lay_out(a, p.factors, p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k);
    lay_out(b, p.factors, p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n);
    lay_out(d, p.result, p.m, p.n);
    cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.aux_ld);
  }
  ~Planned() { cublasLtDestroy(handle_); }
  Planned(const Planned&) = delete;
  Planned& operator=(const Planned&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }

  cublasStatus_t choose() {
    cublasLtMatmulPreferenceOpaque_t wish;
    cublasLtMatmulPreferenceInit(&wish);
    const std::uint64_t most = 1 << 20;
    cublasLtMatmulPreferenceSetAttribute(&wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                         sizeof most);
    for (const auto which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      cublasLtMatmulPreferenceSetAttribute(&wish, which, &p_.alignment, sizeof p_.alignment);
    }
    int found = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle_, &operation, &a, &b, &d, &d, &wish, 1, &best,
                                          &found);
  }

  cublasStatus_t run(const void* first, const void* second, float beta, void* result,
                     void* workspace, std::size_t bytes, cudaStream_t stream) {
    const float alpha = 1;
    return cublasLtMatmul(handle_, &operation, &alpha, first, &a, second, &b, &beta, result, &d,
                          result, &d, &best.algo, workspace, bytes, stream);
  }

  cublasLtMatrixLayoutOpaque_t a, b, d;
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatmulHeuristicResult_t best{};

 private:
  void lay_out(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType_t type, std::uint64_t rows,
               std::uint64_t columns) const {
    cublasLtMatrixLayoutInit(&layout, type, rows, columns,
                             static_cast<std::int64_t>(rows) + p_.gap);
  }

  Problem p_;
  cublasLtHandle_t handle_ = nullptr;
};

// Small integers, which bf16 and all sums here represent exactly.
template <class T>
std::vector<T> integers(std::size_t count, int seed) {
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(T(static_cast<float>(static_cast<int>(i * 7 + i / 5 * 3) % 5 + seed)));
  }
  return values;
}

class Products : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(Products, EqualTheDefinition) {
  const auto [a_transposed, b_transposed] = GetParam();
  const Problem p{.a_transposed = a_transposed,
                  .b_transposed = b_transposed,
                  .result = CUDA_R_32F,
                  .epilogue = CUBLASLT_EPILOGUE_BIAS};
  const std::size_t m = p.m, n = p.n, k = p.k, gap = 8;
  const std::size_t a_ld = (a_transposed ? k : m) + gap, b_ld = (b_transposed ? n : k) + gap;
  const DeviceArray<bfloat16> a(a_ld * (a_transposed ? m : k)), b(b_ld * (b_transposed ? k : n));
  const DeviceArray<float> d((m + gap) * n), bias(m);
  const auto host_a = integers<bfloat16>(a_ld * (a_transposed ? m : k), -2);
  const auto host_b = integers<bfloat16>(b_ld * (b_transposed ? k : n), -1);
  const auto host_d = integers<float>((m + gap) * n, 3), host_bias = integers<float>(m, 50);
  a.set(host_a), b.set(host_b), d.set(host_d), bias.set(host_bias);
  const TestStream stream;
  Planned plan(p, bias.data());
  ASSERT_EQ(plan.choose(), CUBLAS_STATUS_SUCCESS);
  cudaDeviceSynchronize();
  ASSERT_EQ(plan.run(a.data(), b.data(), 2, d.data(), nullptr, 0, stream), CUBLAS_STATUS_SUCCESS);
  auto expected = host_d;
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m; ++i) {
      float sum = 2 * host_d[j * (m + gap) + i] + host_bias[i];
      for (std::size_t l = 0; l < k; ++l) {
        sum += float(host_a[a_transposed ? i * a_ld + l : l * a_ld + i]) *
               float(host_b[b_transposed ? l * b_ld + j : j * b_ld + l]);
      }
      expected[j * (m + gap) + i] = sum;
    }
  }
  EXPECT_EQ(d.values(), expected);
}

INSTANTIATE_TEST_SUITE_P(Transposes, Products, testing::Combine(testing::Bool(), testing::Bool()));

// Forward: a product of zeros with x as the bias gives gelu(x). Backward: a product that is 0.125
// everywhere gives 0.125 times gelu's slope at x.
TEST(Epilogues, ComputeGeluAndItsSlope) {
  const Problem forward{.m = 8, .n = 1, .k = 8, .epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS};
  Problem backward = forward;
  backward.epilogue = CUBLASLT_EPILOGUE_DGELU;
  const DeviceArray<bfloat16> zeros(16 * 8), y(16), slope(16), before(8), bias(8), ones(16 * 8);
  zeros.set(std::vector<bfloat16>(16 * 8, bfloat16(0.0f)));
  ones.set(std::vector<bfloat16>(16 * 8, bfloat16(0.125f)));
  std::vector<bfloat16> x;
  for (int i = 0; i < 8; ++i) x.push_back(bfloat16(0.75f * static_cast<float>(i - 4)));
  bias.set(x);
  cudaDeviceSynchronize();
  const TestStream stream;
  Planned there(forward, bias.data(), before.data()), back(backward, nullptr, before.data());
  ASSERT_EQ(there.choose(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(back.choose(), CUBLAS_STATUS_SUCCESS);
  there.run(zeros.data(), zeros.data(), 0, y.data(), nullptr, 0, stream);
  back.run(ones.data(), ones.data(), 0, slope.data(), nullptr, 0, stream);
  const auto gelu = [](double z) {
    return z / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
  };
  for (std::size_t i = 0; i < 8; ++i) {
    const double z = x[i], dy = 8 * 0.125 * 0.125;
    EXPECT_EQ(before.values()[i].bits, x[i].bits);
    EXPECT_NEAR(y.values()[i], gelu(z), 4e-3 * std::abs(z));
    EXPECT_NEAR(slope.values()[i], dy * (gelu(z + 1e-4) - gelu(z - 1e-4)) / 2e-4, 4e-3 * dy);
  }
}

TEST(CublasLt, RefusesWhatTheRealLibraryRefuses) {
  constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE, unsupported = CUBLAS_STATUS_NOT_SUPPORTED;
  constexpr auto gelu = CUBLASLT_EPILOGUE_GELU_AUX;
  const DeviceArray<float> memory(256);
  const auto status = [&](const Problem& p, bool pointers = true) {
    void* const there = pointers ? memory.data() : nullptr;
    return Planned(p, there, there).choose();
  };
  EXPECT_EQ(status({}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status({.m = 0}), invalid);
  EXPECT_EQ(status({.gap = -1}), invalid) << "columns overlap";
  EXPECT_EQ(status({.factors = CUDA_R_32F}), unsupported);
  EXPECT_EQ(status({.factors = CUDA_R_16F, .result = CUDA_R_16F}), unsupported);
  EXPECT_EQ(status({.epilogue = CUBLASLT_EPILOGUE_BIAS}, false), invalid);
  EXPECT_EQ(status({.epilogue = gelu}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status({.epilogue = gelu}, false), invalid);
  EXPECT_EQ(status({.epilogue = gelu, .aux_ld = 12}), invalid);
  EXPECT_EQ(status({.m = 16, .epilogue = gelu, .aux_ld = 8}), invalid);
  EXPECT_EQ(status({.result = CUDA_R_32F, .epilogue = gelu}), unsupported);
  EXPECT_EQ(status({.gap = 3}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status({.epilogue = gelu, .gap = 3}), unsupported)
      << "columns that are not aligned to 16 bytes";
  EXPECT_EQ(status({.epilogue = gelu, .alignment = 8}), unsupported);

  Planned mismatched({});
  mismatched.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  EXPECT_EQ(mismatched.choose(), invalid);
  Planned other_bias({.epilogue = CUBLASLT_EPILOGUE_BIAS}, memory.data());
  other_bias.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
  EXPECT_EQ(other_bias.choose(), unsupported);
  Planned blank({});
  blank.a = {};
  EXPECT_EQ(blank.choose(), invalid) << "a layout that was not initialised";
}

TEST(CublasLt, RefusesCallsThatAKernelWasNotChosenFor) {
  const DeviceArray<float> memory(1 << 20), workspace(1 << 14);
  float* const data = memory.data();
  const TestStream stream;
  Planned plan({.k = 512});
  ASSERT_EQ(plan.choose(), CUBLAS_STATUS_SUCCESS);
  const std::size_t bytes = plan.best.workspaceSize;
  ASSERT_GT(bytes, 0u);
  const auto run = [&](void* scratch, std::size_t size) {
    return plan.run(data, data, 0, data + (1 << 19), scratch, size, stream);
  };
  EXPECT_EQ(run(workspace.data(), bytes), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run(workspace.data(), bytes - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(nullptr, bytes), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(plan.run(data + 1, data, 0, data, workspace.data(), bytes, stream),
            CUBLAS_STATUS_INVALID_VALUE)
      << "less aligned than was promised";
  plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DGELU);
  EXPECT_EQ(run(workspace.data(), bytes), CUBLAS_STATUS_INVALID_VALUE) << "another epilogue";
}

}  // namespace
}  // namespace fake_cuda
