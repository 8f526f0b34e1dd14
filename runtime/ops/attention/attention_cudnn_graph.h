// Attention as a cuDNN graph: which calls cuDNN is asked for, and how they are described to it. A
// graph needs no device; only its plans do.
#pragma once

#include <cstdint>
#include <cudnn.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/ops/attention/attention.h"

namespace masformer::cuda {

// A call that cuDNN may take.
struct CudnnCall {
  // q, k, v, out, lse; for a backward also dout, dq, dk, dv.
  std::vector<Tensor> operands;
  bool causal = true;       // otherwise all queries see all keys
  std::int64_t window = 0;  // keys that a query sees, with its own; 0 for all before it
  float scale = 1;
  bool deterministic = false;

  bool backward() const { return operands.size() > 5; }
  // Identifies the graph: calls with the same key differ only in their tensors' addresses.
  std::vector<std::int64_t> key() const;
};

// Nothing if cuDNN does not support the call's dtype, head dim, span, documents, positions or
// strides.
std::optional<CudnnCall> cudnn_call(const AttentionForward& args);
std::optional<CudnnCall> cudnn_call(const AttentionBackward& args, bool deterministic);

class CudnnGraph {
 public:
  // For a device of compute capability `capability` / 10.
  CudnnGraph(const CudnnCall& call, int capability);
  CudnnGraph(const CudnnGraph&) = delete;
  CudnnGraph& operator=(const CudnnGraph&) = delete;
  ~CudnnGraph();

  // Makes a plan for the handle's device. Returns "", or why cuDNN has none.
  std::string build(cudnnHandle_t handle);
  // The same for a device that is described in cuDNN's JSON, as far as that works on a machine
  // without the device. Sets `planned` to whether cuDNN accepted the graph.
  std::string build_for(const std::string& device, bool& planned);

  std::int64_t workspace_bytes() const;
  // Issues the call to the handle's stream.
  void run(cudnnHandle_t handle, const CudnnCall& call, void* workspace) const;

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace masformer::cuda
