#include "runtime/ops/attention/attention_cudnn_graph.h"

#include <algorithm>
#include <bit>
#include <cudnn_frontend.h>
#include <utility>

#include "runtime/error.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/span.h"

namespace masformer::cuda {
namespace {

namespace fe = cudnn_frontend;
using Operand = std::shared_ptr<fe::graph::Tensor_attributes>;
using std::int64_t;

// Positions in CudnnCall::operands. A tensor's number in its graph is one higher.
enum Index { q, k, v, out, lse, dout, dq, dk, dv };

// cuDNN moves the rows of heads 16 bytes at a time, and does not check that they are aligned.
bool aligned(const Tensor& x) {
  constexpr int64_t bytes = 16;
  return x.dims() == 4 ? x.rows_aligned(bytes) : x.aligned(bytes);
}

// Keys, and queries, in a tile of cuDNN's backward on sm_90. Without a mask, it counts the missing
// keys of a partial tile as zeros, which gives NaN if a row's log-sum-exp is below -88; the missing
// rows of a single query gave NaN, too (github.com/NVIDIA/cudnn-frontend: pull request 628, issue
// 1072).
constexpr int64_t whole_tile = 128;

// Sets the mask in cuDNN's terms. Returns false if cuDNN has no such mask.
bool describe(const AttentionMask& mask, int64_t queries, int64_t keys, CudnnCall& call) {
  const std::optional<int64_t> window = cudnn_window(mask.span);
  if (!window || mask.first_keys) return false;
  const PositionRange of_queries{mask.query_offset, mask.query_offset + queries};
  const PositionRange of_keys{mask.key_offset, mask.key_offset + keys};
  call.causal = visibility(mask.span, of_queries, of_keys) != Visibility::all;
  if (!call.causal) return keys % whole_tile == 0 && queries % whole_tile == 0;
  call.window = *window < keys ? *window : 0;
  return of_queries == of_keys;
}

template <class Arguments>
std::optional<CudnnCall> describe(const Arguments& args, std::vector<Tensor> operands) {
  const int64_t dim = args.q.dim(3), queries = args.q.dim(1), keys = args.k.dim(1);
  CudnnCall call{.operands = std::move(operands), .scale = args.scale};
  // cuDNN refuses a single query with a single key.
  const bool is_taken = cudnn_may_take(args.q.dtype(), dim, args.mask.span) && args.q.dim(0) > 0 &&
                        queries > 1 && keys > 1 && args.lse.contiguous() &&
                        std::all_of(call.operands.begin(), call.operands.end(), aligned) &&
                        describe(args.mask, queries, keys, call);
  if (!is_taken) return std::nullopt;
  return call;
}

// x [B, tokens, N, D] in cuDNN's order [B, N, tokens, D]; lse [B, N, S] as [B, N, S, 1].
void describe(const CudnnCall& call, Index index, const Operand& operand) {
  const Tensor& x = call.operands[index];
  operand->set_uid(index + 1);
  if (index == lse) {
    operand->set_data_type(fe::DataType_t::FLOAT)
        .set_dim({x.dim(0), x.dim(1), x.dim(2), 1})
        .set_stride({x.stride(0), x.stride(1), 1, 1});
  } else {
    operand->set_data_type(fe::DataType_t::BFLOAT16)
        .set_dim({x.dim(0), x.dim(2), x.dim(1), x.dim(3)})
        .set_stride({x.stride(0), x.stride(2), x.stride(1), 1});
  }
}

Operand input(fe::graph::Graph& graph, const CudnnCall& call, Index index) {
  Operand operand = graph.tensor(fe::graph::Tensor_attributes());
  describe(call, index, operand);
  return operand;
}

void output(const CudnnCall& call, Index index, const Operand& operand) {
  operand->set_output(true);
  describe(call, index, operand);
}

// The left bound counts keys as a window does: key j is visible if j + bound > i.
template <class Attributes>
Attributes attributes(const CudnnCall& call) {
  Attributes result;
  result.set_attn_scale(call.scale);
  if (!call.causal) return result;
  result.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT);
  result.set_diagonal_band_right_bound(0);
  if (call.window > 0) result.set_diagonal_band_left_bound(static_cast<int>(call.window));
  return result;
}

void add_forward(fe::graph::Graph& graph, const CudnnCall& call) {
  auto options = attributes<fe::graph::SDPA_attributes>(call);
  options.set_generate_stats(true);  // log-sum-exp of the scaled scores, in natural units
  const auto [result, stats] =
      graph.sdpa(input(graph, call, q), input(graph, call, k), input(graph, call, v), options);
  output(call, out, result);
  output(call, lse, stats);
}

void add_backward(fe::graph::Graph& graph, const CudnnCall& call) {
  auto options = attributes<fe::graph::SDPA_backward_attributes>(call);
  options.set_deterministic_algorithm(call.deterministic);
  const auto gradients = graph.sdpa_backward(
      input(graph, call, q), input(graph, call, k), input(graph, call, v), input(graph, call, out),
      input(graph, call, dout), input(graph, call, lse), options);
  for (const Index index : {dq, dk, dv}) output(call, index, gradients[index - dq]);
}

// cuDNN's message; empty for success.
std::string refusal(fe::error_t status) {
  if (status.is_good()) return "";
  const std::string message = status.get_message();
  return message.empty() ? "no reason given" : message;
}

}  // namespace

std::vector<int64_t> CudnnCall::key() const {
  std::vector<int64_t> key{causal, window, std::bit_cast<std::int32_t>(scale), deterministic};
  for (const Tensor& x : operands) {
    for (int dim = 0; dim < x.dims(); ++dim) {
      key.push_back(x.dim(dim));
      key.push_back(x.stride(dim));
    }
  }
  return key;
}

std::optional<CudnnCall> cudnn_call(const AttentionForward& args) {
  return describe(args, {args.q, args.k, args.v, args.out, args.lse});
}

std::optional<CudnnCall> cudnn_call(const AttentionBackward& args, bool deterministic) {
  // Own kernels give q and k gradients of exactly 0 there (IndexMask::one_key()).
  const int64_t first = args.mask.query_offset;
  if (sees_only_itself(args.mask.span, {first, first + args.q.dim(1)})) return std::nullopt;
  // The frontend puts the engine's workspace right after as many floats of its own; it must be
  // aligned.
  if (args.lse.elements() * size_of(DType::f32) % 16 != 0) return std::nullopt;
  // cuDNN writes gradients in the dtype of their operands.
  for (const Tensor& gradient : {args.dq, args.dk, args.dv}) {
    if (gradient.dtype() != args.q.dtype()) return std::nullopt;
  }
  auto call = describe(
      args, {args.q, args.k, args.v, args.out, args.lse, args.dout, args.dq, args.dk, args.dv});
  if (call) call->deterministic = deterministic;
  return call;
}

struct CudnnGraph::Graph {
  fe::graph::Graph graph;
  std::int64_t workspace_bytes = 0;
};

CudnnGraph::CudnnGraph(const CudnnCall& call, int capability) : graph_(std::make_unique<Graph>()) {
  fe::graph::Graph& graph = graph_->graph;
  graph.set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT)
      .set_sm_version(capability);
  if (call.backward()) {
    add_backward(graph, call);
  } else {
    add_forward(graph, call);
  }
}

CudnnGraph::~CudnnGraph() = default;

std::string CudnnGraph::build(cudnnHandle_t handle) {
  fe::error_t status = graph_->graph.build(handle, {fe::HeurMode_t::A});
  if (status.is_good()) status = graph_->graph.get_workspace_size(graph_->workspace_bytes);
  return refusal(status);
}

std::string CudnnGraph::build_for(const std::string& device, bool& planned) {
  const auto properties = std::make_shared<fe::DeviceProperties>();
  fe::error_t status = properties->deserialize({device.begin(), device.end()});
  fe::graph::Graph& graph = graph_->graph;
  graph.set_device_properties(properties);
  if (status.is_good()) status = graph.validate();
  if (status.is_good()) status = graph.build_operation_graph();
  planned = status.is_good();
  if (status.is_good()) status = graph.create_execution_plans({fe::HeurMode_t::A});
  if (status.is_good()) status = graph.check_support();
  if (status.is_good()) status = graph.build_plans();
  return refusal(status);
}

std::int64_t CudnnGraph::workspace_bytes() const {
  return graph_->workspace_bytes;
}

void CudnnGraph::run(cudnnHandle_t handle, const CudnnCall& call, void* workspace) const {
  // In the order of the tensors' numbers.
  std::vector<void*> addresses;
  for (const Tensor& x : call.operands) addresses.push_back(x.raw());
  const fe::error_t status = graph_->graph.execute(handle, addresses.data(),
                                                   static_cast<int>(addresses.size()), workspace);
  require(status.is_good(), "cuDNN's attention failed: {}", refusal(status));
}

}  // namespace masformer::cuda
