// The base class of communicators that move device tensors. A subclass moves tensors on the
// stream's device; the inner communicator moves host tensors and the control plane.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

class DeviceCommunicator : public Communicator {
 public:
  // `stream` must outlive this object.
  DeviceCommunicator(std::unique_ptr<Communicator> inner, const Stream& stream);

  int rank() const final { return inner_->rank(); }
  int size() const final { return inner_->size(); }
  Request all_reduce(Tensor x, Reduction reduction) final;
  Request reduce_scatter(Tensor x) final;
  Request all_gather(Tensor x) final;
  Request broadcast(Tensor x, int root) final;
  Request send(Tensor x, int to) final;
  Request receive(Tensor x, int from) final;
  std::vector<std::string> all_gather(const std::string& text) final;
  void barrier() final { inner_->barrier(); }
  void progress() final { inner_->progress(); }
  SentBytes sent_bytes() const final { return sent_; }
  std::int64_t working_memory() const override { return inner_->working_memory(); }

 protected:
  Communicator& inner() { return *inner_; }
  const Stream& stream() const { return stream_; }

 private:
  // Start the operations of a group of several ranks. Tensors are contiguous, on the device, and
  // not empty.
  virtual Request start_all_reduce(const Tensor& x, Reduction reduction) = 0;
  virtual Request start_reduce_scatter(const Tensor& x) = 0;
  virtual Request start_all_gather(const Tensor& x) = 0;
  virtual Request start_broadcast(const Tensor& x, int root) = 0;
  virtual Request start_send(const Tensor& x, int to) = 0;
  virtual Request start_receive(const Tensor& x, int from) = 0;

  // Returns whether the subclass moves `x`, rather than the inner communicator. Throws Error if `x`
  // is on another device or not contiguous, or if the group has no rank `peer`.
  bool moves_on_device(const Tensor& x, int peer) const;
  // Whether a collective on `x` has nothing to do.
  bool is_noop(const Tensor& x) const { return x.elements() == 0 || size() == 1; }
  void count(Operation kind, const Tensor& x);

  std::unique_ptr<Communicator> inner_;
  const Stream& stream_;
  SentBytes sent_;  // of host and device tensors
};

}  // namespace masformer
