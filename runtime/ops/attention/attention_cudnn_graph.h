// Attention as a graph of cuDNN's: which calls it is asked for, and what it makes of them. Making a
// graph needs no device; only plans for it do.
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
  // q, k, v, out, lse; of a backward also dout, dq, dk, dv.
  std::vector<Tensor> operands;
  bool causal = true;       // else all queries see all keys
  std::int64_t window = 0;  // keys that a query sees, its own among them; 0 for all before it
  float scale = 1;
  bool deterministic = false;

  bool backward() const { return operands.size() > 5; }
  // Tells graphs from one another: calls of one key differ in their tensors' addresses alone.
  std::vector<std::int64_t> key() const;
};

// Nothing for a call whose dtype, head dim, span, positions or strides are not cuDNN's.
std::optional<CudnnCall> cudnn_call(const AttentionForward& args);
std::optional<CudnnCall> cudnn_call(const AttentionBackward& args, bool deterministic);

class CudnnGraph {
 public:
  // For a device of compute capability `capability` / 10.
  CudnnGraph(const CudnnCall& call, int capability);
  CudnnGraph(const CudnnGraph&) = delete;
  CudnnGraph& operator=(const CudnnGraph&) = delete;
  ~CudnnGraph();

  // Makes a plan for the handle's device. Empty, or why cuDNN has none.
  std::string build(cudnnHandle_t handle);
  // The same for a device that is described in cuDNN's JSON, as far as a machine without it goes:
  // `planned` says whether cuDNN took the graph.
  std::string build_for(const std::string& device, bool& planned);

  std::int64_t workspace_bytes() const;
  // Issues the call to the handle's stream.
  void run(cudnnHandle_t handle, const CudnnCall& call, void* workspace) const;

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace masformer::cuda
