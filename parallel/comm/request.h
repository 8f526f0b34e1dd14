// The end of something that was started: a send, a receive, a collective.
#pragma once

#include <memory>
#include <utility>

namespace masformer {

// What a transport has to say about an operation under way.
class PendingRequest {
 public:
  // Waits, if nobody did; lets go of the operation while an exception passes, which ends the job.
  virtual ~PendingRequest() = default;
  virtual void wait() = 0;
  virtual bool done() = 0;  // also lets the transport make progress
};

// A move-only handle; empty means already done. The tensors of the operation must stay alive and
// unchanged (or, for results, unread) until wait() has returned. Whoever holds the event waits.
//
// For a tensor on a device, wait() means that work issued to the rank's compute stream afterwards
// sees the operation as done: with NCCL the host itself does not wait. done() means that it is.
class [[nodiscard]] Request {
 public:
  Request() = default;
  explicit Request(std::unique_ptr<PendingRequest> pending) : pending_(std::move(pending)) {}

  void wait() {
    if (const auto pending = std::move(pending_)) pending->wait();
  }
  bool done() {
    if (pending_ && pending_->done()) pending_.reset();
    return !pending_;
  }

 private:
  std::unique_ptr<PendingRequest> pending_;
};

}  // namespace masformer
