// One NCCL communicator; private to this folder.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <nccl.h>
#include <string>

#include "parallel/comm/nccl/deadline.h"
#include "parallel/comm/request.h"
#include "runtime/cuda/event.h"
#include "runtime/stream.h"
#include "runtime/unwinding.h"

namespace masformer::nccl {

// This rank's place among the ranks of a connection, whose id all of them share.
struct Place {
  ncclUniqueId id;
  int size, rank;
};

// Throws Error, with the call and NCCL's message, if `status` is a failure.
void check(ncclResult_t status, const char* call);

// The operations of a connection run one after the other, on its own CUDA stream. While one waits
// for a peer, those after it wait, too.
class NcclConnection final : public std::enable_shared_from_this<NcclConnection> {
 public:
  using Calls = std::function<void(ncclComm_t, cudaStream_t)>;

  // Collective over the ranks of the connection; returns when they are connected. Messages begin
  // with `name`: "rank 3 of the tensor group". An operation occupies at most `max_ctas` thread
  // blocks of the device; 0 leaves the number to NCCL.
  NcclConnection(const Stream& compute, const Place& place, std::string name, int max_ctas,
                 std::chrono::seconds timeout);
  NcclConnection(const NcclConnection&) = delete;
  NcclConnection& operator=(const NcclConnection&) = delete;
  // Waits for the operations under way. Aborts them if they fail, and during stack unwinding.
  ~NcclConnection();

  // Issues the NCCL calls as one group, which runs after the work that the compute stream has so
  // far. Only the first calls of a connection, which connect the ranks, make the host wait for
  // peers. `operation` must outlive the request.
  masformer::Request start(const char* operation, const Calls& calls);

  // Throws Error if an operation failed. Returns the deadline of the first unfinished operation,
  // which the connection owns until that ends; null if none is unfinished.
  Deadline* check();
  // Throws Error, after aborting all connections of the stream: the first unfinished operation is
  // late.
  [[noreturn]] void fail_overdue();
  // Ends the operations under way without results. LiveConnections calls it within an NCCL group.
  void abort() noexcept;

 private:
  class Operation;
  struct UnderWay {
    const char* operation;
    Deadline deadline;
    std::unique_ptr<cuda::Event> begin;  // the compute stream reaches the start of the operation
    std::shared_ptr<cuda::Event> end;
  };

  void connect(const Place& place, int max_ctas);
  // Returns when NCCL has finished its work in the background. Throws Error if that failed.
  void finish(ncclResult_t status);
  void require_healthy();
  [[noreturn]] void fail_and_abort(const std::string& why);
  void close();
  void forget_ended();
  // Leaves the stream's connections. Aborts all of them if this one is not closed.
  void end() noexcept;

  const Stream& compute_;
  std::string name_;
  std::chrono::seconds timeout_;
  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;  // null once aborted
  const char* operation_ = "";
  std::deque<UnderWay> under_way_;  // in the order of their starts; some may have ended
  std::string failure_;
  Unwinding unwinding_;
};

}  // namespace masformer::nccl
