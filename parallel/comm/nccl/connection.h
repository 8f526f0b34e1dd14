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

// Where a rank stands among those that a connection connects.
struct Place {
  ncclUniqueId id;
  int size, rank;
};

// Throws Error that names the call and NCCL's own words.
void check(ncclResult_t status, const char* call);

// The operations of a connection run one after the other, on a CUDA stream of their own; whoever is
// behind an operation that waits for a peer waits, too.
class NcclConnection final : public std::enable_shared_from_this<NcclConnection> {
 public:
  using Calls = std::function<void(ncclComm_t, cudaStream_t)>;

  // Returns when the connection is connected; all of its ranks make it together. `name` begins
  // messages: "rank 3 of the tensor group". Its operations take `max_ctas` of the device at a
  // time; 0 leaves that to NCCL.
  NcclConnection(const Stream& compute, const Place& place, std::string name, int max_ctas,
                 std::chrono::seconds timeout);
  NcclConnection(const NcclConnection&) = delete;
  NcclConnection& operator=(const NcclConnection&) = delete;
  // Waits for the operations under way; breaks them off while an exception passes, and where they
  // fail.
  ~NcclConnection();

  // Makes the NCCL calls as one group, behind what the compute stream has been given so far. Only
  // the first ones, which connect ranks, make the host wait for others. `operation` must live on.
  masformer::Request start(const char* operation, const Calls& calls);

  // Throws Error if an operation failed. Returns the deadline of the first unfinished operation,
  // which the connection owns until that ends; null if none is unfinished.
  Deadline* check();
  // Throws Error, after aborting all connections of the stream: the first unfinished operation is
  // late.
  [[noreturn]] void fail_overdue();
  // Ends what is under way, with no result. Within a group of NCCL's, see live_connections.h.
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
  // Returns when NCCL has done what it does in the background.
  void finish(ncclResult_t status);
  void require_healthy();
  [[noreturn]] void break_off(const std::string& why);
  void close();
  void forget_ended();
  // Leaves the stream's connections; gives all of them up where this one is not closed.
  void end() noexcept;

  const Stream& compute_;
  std::string name_;
  std::chrono::seconds timeout_;
  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;  // none once aborted
  const char* operation_ = "";
  std::deque<UnderWay> under_way_;  // in the order of their starts; some may have ended
  std::string failure_;
  Unwinding unwinding_;
};

}  // namespace masformer::nccl
