#include "runtime/ops/attention/attention_cudnn.h"

#include <cstdio>
#include <map>

#include <fmt/format.h>

#include "runtime/cuda/nvrtc.h"
#include "runtime/cuda/stream.h"
#include "runtime/error.h"
#include "runtime/ops/attention/attention_cudnn_graph.h"

namespace masformer::cuda {
namespace {

void check_cudnn(cudnnStatus_t status, const char* what) {
  require(status == CUDNN_STATUS_SUCCESS, "{} failed: {}", what, cudnnGetErrorString(status));
}

// A stream's cuDNN handle, and a plan for each kind of call so far.
class CudnnState final : public LibraryState {
 public:
  explicit CudnnState(CudaStream& stream)
      : capability_(10 * stream.properties().major + stream.properties().minor) {
    load_nvrtc_builtins();
    check_cudnn(cudnnCreate(&handle_), "cudnnCreate");
    check_cudnn(cudnnSetStream(handle_, stream.handle()), "cudnnSetStream");
  }
  CudnnState(const CudnnState&) = delete;
  CudnnState& operator=(const CudnnState&) = delete;
  ~CudnnState() override {
    plans_.clear();
    cudnnDestroy(handle_);
  }

  cudnnHandle_t handle() const { return handle_; }

  // Null if cuDNN has no plan; the first such call prints a warning.
  const CudnnGraph* plan(const CudnnCall& call) {
    const auto [found, is_new] = plans_.try_emplace(call.key());
    if (is_new) found->second = build(call);
    return found->second.get();
  }

 private:
  std::unique_ptr<CudnnGraph> build(const CudnnCall& call) {
    auto graph = std::make_unique<CudnnGraph>(call, capability_);
    const std::string refusal = graph->build(handle_);
    if (refusal.empty()) return graph;
    const std::string text = fmt::format(
        "masformer: warning: cuDNN {} cannot run this attention {} of {} ({}); using the slower "
        "built-in kernel\n",
        cudnnGetVersion(), call.backward() ? "backward" : "forward", call.operands[0].shape(),
        refusal);
    std::fputs(text.c_str(), stderr);  // fmt::print would throw if stderr is closed
    return nullptr;
  }

  int capability_;
  cudnnHandle_t handle_ = nullptr;
  std::map<std::vector<std::int64_t>, std::unique_ptr<CudnnGraph>> plans_;
};

bool run(const Stream& on, const std::optional<CudnnCall>& call) {
  CudaStream& stream = cuda_stream_of(on);
  constexpr int ampere = 8;
  if (!call || stream.properties().major < ampere) return false;
  auto& state = stream.library<CudnnState>();
  const CudnnGraph* const plan = state.plan(*call);
  if (plan == nullptr) return false;
  plan->run(state.handle(), *call, stream.scratch(plan->workspace_bytes()));
  return true;
}

}  // namespace

bool cudnn_attention(const Stream& stream, const AttentionForward& args) {
  return run(stream, cudnn_call(args));
}

bool cudnn_attention_backward(const Stream& stream, const AttentionBackward& args) {
  return run(stream, cudnn_call(args, stream.deterministic()));
}

std::size_t cudnn_version() {
  return cudnnGetVersion();
}

}  // namespace masformer::cuda
