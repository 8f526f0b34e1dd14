// An order of work on a device. Ops are issued to a stream and run in the order of issue; on the
// CPU each is done when its call returns.
#pragma once

#include "runtime/tensor.h"

namespace masformer {

class Stream {
 public:
  // `threads`: how many the CPU backend may use in each op; at least 1.
  explicit Stream(Device device, int threads = 1);

  Device device() const { return device_; }
  int threads() const { return threads_; }
  // Returns when everything issued so far is done.
  void synchronize() const {}

 private:
  Device device_;
  int threads_;
};

// Throws Error unless `stream` is on the device of `tensor`; ops call it once.
void require_same_device(const Stream& stream, const Tensor& tensor);

}  // namespace masformer
