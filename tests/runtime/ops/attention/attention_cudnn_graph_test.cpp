// Which calls cuDNN is asked for, and whether it accepts their graphs for a device that is not
// there. bf16_test proves on a GPU what they compute.
#include "runtime/ops/attention/attention_cudnn_graph.h"

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/span.h"
#include "tests/support/spans.h"

namespace masformer::cuda {
namespace {

using std::int64_t;

// An address that nothing reads.
constexpr std::uintptr_t somewhere = 1 << 20;

Tensor tensor(const Shape& shape, DType dtype = DType::bf16) {
  return {reinterpret_cast<void*>(somewhere), shape, dtype, Device::cuda};
}

struct Sizes {
  int64_t batch = 1, queries = 512, heads = 4, kv_heads = 4, dim = 64;
};

// q, k and v side by side, as in the model.
AttentionForward forward(const Sizes& s, const AttentionMask& mask) {
  const int64_t width = s.heads * s.dim, kv_width = s.kv_heads * s.dim;
  const Tensor rows = tensor({s.batch * s.queries, width + 2 * kv_width});
  const Shape of_queries{s.batch, s.queries, s.heads, s.dim};
  const Shape of_keys{s.batch, s.queries, s.kv_heads, s.dim};
  return {.q = rows.slice(1, 0, width).reshape(of_queries),
          .k = rows.slice(1, width, kv_width).reshape(of_keys),
          .v = rows.slice(1, width + kv_width, kv_width).reshape(of_keys),
          .mask = mask,
          .scale = 0.125f,
          .out = tensor(of_queries),
          .lse = tensor({s.batch, s.heads, s.queries}, DType::f32)};
}

AttentionBackward backward(const AttentionForward& args) {
  return {.q = args.q,
          .k = args.k,
          .v = args.v,
          .mask = args.mask,
          .scale = args.scale,
          .out = args.out,
          .lse = args.lse,
          .dout = args.out,
          .delta = args.lse,
          .dq = args.q,
          .dk = args.k,
          .dv = args.v};
}

TEST(AttentionCudnnGraph, TakesTheCasesOfTrainingAndNoOthers) {
  using Change = std::function<void(AttentionForward&)>;
  const auto takes = [](const Change& change) {
    AttentionForward args = forward({}, {});
    change(args);
    return cudnn_call(args).has_value();
  };
  const auto span = [](const std::string& text) {
    return [=](AttentionForward& args) { args.mask.span = parse_span(text); };
  };
  const auto positions = [](int64_t query, int64_t key) {
    return [=](AttentionForward& args) { args.mask = {{}, query, key}; };
  };
  EXPECT_TRUE(takes([](auto&) {}));
  for (const Span& each : test::example_spans({100})) {
    const bool has_mask = each.kind == SpanKind::full || each.kind == SpanKind::window;
    EXPECT_EQ(takes(span(to_string(each))), has_mask) << to_string(each);
    EXPECT_EQ(cudnn_may_take(DType::bf16, 64, each), has_mask) << to_string(each);
  }
  EXPECT_TRUE(takes(positions(512, 512)));   // one shard's queries and its own keys
  EXPECT_TRUE(takes(positions(1024, 512)));  // keys before all queries
  EXPECT_FALSE(takes([](auto& args) {        // with a partial last tile
    args = forward({.queries = 576}, {{}, 1024, 0});
  }));
  EXPECT_FALSE(takes([](auto& args) {
    args = forward({}, {{}, 1024, 0});
    args.q = args.q.slice(1, 0, 65);
    args.out = args.out.slice(1, 0, 65);
    args.lse = tensor({1, 4, 65}, DType::f32);
  }));
  EXPECT_TRUE(takes([](auto& args) { args = forward({.queries = 576}, {}); }));
  EXPECT_FALSE(takes(positions(512, 1024)));
  EXPECT_FALSE(takes(positions(512, 500)));
  EXPECT_FALSE(takes([](auto& args) { args.mask.first_keys = tensor({1, 512}, DType::i32); }));
  EXPECT_FALSE(takes([](auto& args) { args = forward({.dim = 80}, {}); }));
  EXPECT_FALSE(takes([](auto& args) { args = forward({.queries = 1}, {}); }));
  EXPECT_FALSE(takes([](auto& args) { args.q = tensor({1, 512, 4, 64}, DType::f32); }));
  EXPECT_FALSE(takes([](auto& args) { args.q = tensor({1, 512, 4, 68}).slice(3, 0, 64); }));
  EXPECT_FALSE(takes([](auto& args) { args.out = tensor({1, 512, 4, 72}).slice(3, 1, 64); }));
  EXPECT_FALSE(takes([](auto& args) {
    args.lse = tensor({1, 4, 520}, DType::f32).slice(2, 0, 512);
  }));
}

TEST(AttentionCudnnGraph, TakesABackwardWhoseWorkspaceIsAligned) {
  const auto takes = [](const Sizes& sizes) {
    return cudnn_call(backward(forward(sizes, {})), false).has_value();
  };
  EXPECT_TRUE(takes({.queries = 333, .heads = 4}));
  EXPECT_TRUE(takes({.queries = 334, .heads = 2, .kv_heads = 2}));
  EXPECT_FALSE(takes({.queries = 333, .heads = 2, .kv_heads = 2}));
}

TEST(AttentionCudnnGraph, LeavesUnroundedGradientsToOwnKernels) {
  const AttentionForward args = forward({}, {});
  for (Tensor AttentionBackward::*const gradient :
       {&AttentionBackward::dq, &AttentionBackward::dk, &AttentionBackward::dv}) {
    AttentionBackward with = backward(args);
    EXPECT_TRUE(cudnn_call(with, false));
    with.*gradient = tensor({1, 512, 4, 64}, DType::f32);
    EXPECT_FALSE(cudnn_call(with, false));
  }
}

TEST(AttentionCudnnGraph, LeavesABackwardOfOneKeyEachToOwnKernels) {
  const auto takes = [](const char* span) {
    return cudnn_call(backward(forward({}, {parse_span(span)})), false).has_value();
  };
  EXPECT_FALSE(takes("window:1"));
  EXPECT_TRUE(takes("window:2"));
}

TEST(AttentionCudnnGraph, KeysDifferWhereGraphsDiffer) {
  const AttentionForward args = forward({}, {});
  const auto key = [](const AttentionForward& of) { return cudnn_call(of)->key(); };
  AttentionForward other = args;
  other.scale = 0.25f;
  EXPECT_NE(key(other), key(args));
  other = args;
  other.mask.span = parse_span("window:7");
  EXPECT_NE(key(other), key(args));
  other = args;
  other.q = tensor({1, 512, 4, 64});  // with other strides
  EXPECT_NE(key(other), key(args));
  other = args;
  other.mask.span = parse_span("window:512");  // no bound within 512 keys
  EXPECT_EQ(key(other), key(args));
  EXPECT_NE(cudnn_call(backward(args), true)->key(), cudnn_call(backward(args), false)->key());
}

// The description of an H100 SXM that cuDNN 9 writes.
constexpr const char* h100 = R"({
  "deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
  "multiProcessorCount": 132, "warpSize": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32,
  "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "l2CacheSize": 52428800, "totalGlobalMem": 85029158912,
  "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "pciDeviceId": 0, "isTccDriver": 0,
  "supportCoopLaunch": 1})";

struct Case {
  const char* span;
  Sizes sizes;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.span << " S" << c.sizes.queries << " D" << c.sizes.dim;
}

class CudnnGraphTest : public testing::TestWithParam<Case> {};

// cuDNN accepts the graph and has engines for it. Without a driver it stops there, and says so.
TEST_P(CudnnGraphTest, HasEnginesOnHopper) {
  const AttentionForward args = forward(GetParam().sizes, {parse_span(GetParam().span)});
  for (const auto& call :
       {cudnn_call(args), cudnn_call(backward(args), false), cudnn_call(backward(args), true)}) {
    ASSERT_TRUE(call);
    bool planned = false;
    const std::string refusal = CudnnGraph(*call, 90).build_for(h100, planned);
    EXPECT_TRUE(planned) << refusal;
    const bool misses_driver_alone = refusal.find("engineId") != std::string::npos &&
                                     refusal.find("libcuda == nullptr") != std::string::npos;
    EXPECT_TRUE(refusal.empty() || misses_driver_alone) << refusal;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudnnGraphTest,
                         testing::Values(Case{"full", {1, 8192, 16, 16, 128}},
                                         Case{"window:1024", {1, 8192, 16, 16, 128}},
                                         Case{"window:256", {2, 2048, 12, 12, 64}},
                                         Case{"full", {1, 1000, 8, 2, 64}},
                                         Case{"window:2", {1, 333, 4, 1, 128}}));

TEST(CudnnGraph, ReportsWhyCudnnRefuses) {
  bool planned = true;
  const std::string refusal = CudnnGraph(*cudnn_call(forward({}, {})), 70).build_for(h100, planned);
  EXPECT_FALSE(planned);
  EXPECT_NE(refusal.find("SM80"), std::string::npos) << refusal;
}

}  // namespace
}  // namespace masformer::cuda
