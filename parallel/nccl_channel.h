// One NCCL communicator; private to the nccl_*.cpp files.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nccl.h>
#include <optional>
#include <string>

#include "parallel/event.h"
#include "runtime/cuda/event.h"
#include "runtime/stream.h"
#include "runtime/unwinding.h"

namespace masformer::nccl {

// Where a rank stands among those that a channel connects.
struct Place {
  ncclUniqueId id;
  int size, rank;
};

// Throws Error that names the call and NCCL's own words.
void check(ncclResult_t status, const char* call);

// The operations of a channel run one after the other, on a CUDA stream of their own; whoever is
// behind an operation that waits for a peer waits, too.
class Channel final : public std::enable_shared_from_this<Channel> {
 public:
  using Calls = std::function<void(ncclComm_t, cudaStream_t)>;

  // Returns when the channel is connected; all of its ranks make it together. `name` begins
  // messages: "rank 3 of the tensor group".
  Channel(const Stream& compute, const Place& place, std::string name,
          std::chrono::seconds patience);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // Waits for the operations under way; breaks them off while an exception passes, and where they
  // fail.
  ~Channel();

  // Makes the NCCL calls as one group, behind what the compute stream has been given so far. Only
  // the first ones, which connect ranks, make the host wait for others. `operation` must live on.
  masformer::Event start(const char* operation, const Calls& calls);

  // Throws Error where an operation failed, or has kept the host waiting for too long; all channels
  // of the stream are given up then.
  void check();
  // Ends what is under way, with no result. Within a group of NCCL's, see nccl_live_channels.h.
  void abort() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  class Operation;

  void connect(const Place& place);
  // Returns when NCCL has done what it does in the background.
  void settle(ncclResult_t status);
  void require_healthy();
  [[noreturn]] void break_off(const std::string& why);
  void close();
  // Leaves the stream's channels; gives all of them up where this one is not closed.
  void end() noexcept;

  const Stream& compute_;
  std::string name_;
  std::chrono::seconds patience_;
  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;  // none once aborted
  cuda::Event ready_;          // of what the operation that starts needs
  const char* operation_ = "";
  std::shared_ptr<cuda::Event> last_;  // the end of all operations; none once it has come
  std::optional<Clock::time_point> stuck_since_;  // none where nobody waits for last_
  std::string failure_;
  Unwinding unwinding_;
};

}  // namespace masformer::nccl
