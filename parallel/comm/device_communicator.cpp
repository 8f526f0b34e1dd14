#include "parallel/comm/device_communicator.h"

#include <utility>

#include "runtime/error.h"

namespace masformer {

DeviceCommunicator::DeviceCommunicator(std::unique_ptr<Communicator> inner, const Stream& stream)
    : inner_(std::move(inner)), stream_(stream) {}

bool DeviceCommunicator::moves_on_device(const Tensor& x, int peer) const {
  if (x.device() == Device::cpu) return false;
  require_same_device(stream_, x);
  require(x.contiguous(), "ranks exchange only contiguous tensors; this one, {}, is not contiguous",
          x.shape());
  require(peer >= 0 && peer < size(), "no rank {} in a group of {} ranks", peer, size());
  return true;
}

void DeviceCommunicator::count(Operation kind, const Tensor& x) {
  sent_[kind] += counted_bytes(kind, x, rank(), size());
}

Request DeviceCommunicator::all_reduce(Tensor x, Reduction reduction) {
  count(Operation::all_reduce, x);
  if (!moves_on_device(x, rank())) return inner_->all_reduce(x, reduction);
  require(x.dtype() != DType::bf16 || reduction == Reduction::sum,
          "bf16 tensors can be summed, but have no other reduction");
  return is_noop(x) ? Request() : start_all_reduce(x, reduction);
}

Request DeviceCommunicator::reduce_scatter(Tensor x) {
  count(Operation::reduce_scatter, x);
  if (!moves_on_device(x, rank())) return inner_->reduce_scatter(x);
  return is_noop(x) ? Request() : start_reduce_scatter(x);
}

Request DeviceCommunicator::all_gather(Tensor x) {
  count(Operation::all_gather, x);
  if (!moves_on_device(x, rank())) return inner_->all_gather(x);
  return is_noop(x) ? Request() : start_all_gather(x);
}

Request DeviceCommunicator::broadcast(Tensor x, int root) {
  if (rank() == root) count(Operation::broadcast, x);
  if (!moves_on_device(x, root)) return inner_->broadcast(x, root);
  return is_noop(x) ? Request() : start_broadcast(x, root);
}

Request DeviceCommunicator::send(Tensor x, int to) {
  count(Operation::send, x);
  if (!moves_on_device(x, to)) return inner_->send(x, to);
  return x.elements() == 0 ? Request() : start_send(x, to);
}

Request DeviceCommunicator::receive(Tensor x, int from) {
  if (!moves_on_device(x, from)) return inner_->receive(x, from);
  return x.elements() == 0 ? Request() : start_receive(x, from);
}

std::vector<std::string> DeviceCommunicator::all_gather(const std::string& text) {
  return inner_->all_gather(text);
}

}  // namespace masformer
