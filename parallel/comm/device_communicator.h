// What the communicators of devices share: host tensors and the control plane go by the
// communicator that they decorate, tensors on the stream's device as a subclass says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

class DeviceCommunicator : public Communicator {
 public:
  // `stream` outlives this object.
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
  SentBytes sent_bytes() const final { return sent_; }
  std::int64_t working_memory() const override { return inner_->working_memory(); }

 protected:
  Communicator& inner() { return *inner_; }
  const Stream& stream() const { return stream_; }

 private:
  // Of tensors that lie contiguous on the device and are not empty, in a group of several ranks.
  virtual Request start_all_reduce(const Tensor& x, Reduction reduction) = 0;
  virtual Request start_reduce_scatter(const Tensor& x) = 0;
  virtual Request start_all_gather(const Tensor& x) = 0;
  virtual Request start_broadcast(const Tensor& x, int root) = 0;
  virtual Request start_send(const Tensor& x, int to) = 0;
  virtual Request start_receive(const Tensor& x, int from) = 0;

  // Whether an operation is the subclass's; throws Error where it is nobody's.
  bool moves_on_device(const Tensor& x, int peer) const;
  // Nothing is to be done for an empty tensor; and in a group of one, but for messages.
  bool is_nothing(const Tensor& x) const { return x.elements() == 0 || size() == 1; }
  void count(Operation kind, const Tensor& x);

  std::unique_ptr<Communicator> inner_;
  const Stream& stream_;
  SentBytes sent_;  // on hosts and devices
};

}  // namespace masformer
