// Handles of operations under way: sends, receives and collectives.
#pragma once

#include <memory>
#include <utility>

namespace masformer {

// An operation under way, as its transport implements it.
class PendingRequest {
 public:
  // Waits if still pending. During stack unwinding, which ends the job, it does not wait: the
  // operation is abandoned.
  virtual ~PendingRequest() = default;
  virtual void wait() = 0;
  virtual bool done() = 0;  // also lets the transport make progress
};

// Owns an operation under way; move-only. Empty: the operation is done. The operation's tensors
// must stay alive until wait() has returned; until then, inputs must not be changed nor results
// read. Whoever holds the request waits.
//
// For tensors on a device, wait() makes work that is issued to the rank's compute stream afterwards
// run after the operation. With NCCL the host itself does not wait, so the operation may still run
// when wait() returns. If done() returns true, the operation has ended.
class [[nodiscard]] Request {
 public:
  Request() = default;
  explicit Request(std::unique_ptr<PendingRequest> pending) : pending_(std::move(pending)) {}

  void wait() {
    if (const auto pending = std::move(pending_)) pending->wait();
  }
  bool empty() const { return !pending_; }
  bool done() {
    if (pending_ && pending_->done()) pending_.reset();
    return !pending_;
  }

 private:
  std::unique_ptr<PendingRequest> pending_;
};

}  // namespace masformer
