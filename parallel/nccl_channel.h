// One NCCL communicator; private to the nccl_*.cpp files.
#pragma once

#include <chrono>
#include <deque>
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
  // messages: "rank 3 of the tensor group". Its operations take `most_blocks` of the device at a
  // time; 0 leaves that to NCCL.
  Channel(const Stream& compute, const Place& place, std::string name, int most_blocks,
          std::chrono::seconds patience);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // Waits for the operations under way; breaks them off while an exception passes, and where they
  // fail.
  ~Channel();

  // Makes the NCCL calls as one group, behind what the compute stream has been given so far. Only
  // the first ones, which connect ranks, make the host wait for others. `operation` must live on.
  masformer::Event start(const char* operation, const Calls& calls);

  // Throws Error where an operation failed, or has been at work for too long; all channels of the
  // stream are given up then. One that waits for another channel's is not at work: whoever waits
  // checks them all.
  void check();
  // Ends what is under way, with no result. Within a group of NCCL's, see nccl_live_channels.h.
  void abort() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  class Operation;
  // From when the compute stream has brought what it needs.
  struct UnderWay {
    const char* operation;
    std::unique_ptr<cuda::Event> begin;
    std::shared_ptr<cuda::Event> end;
  };

  void connect(const Place& place, int most_blocks);
  // Returns when NCCL has done what it does in the background.
  void settle(ncclResult_t status);
  void require_healthy();
  [[noreturn]] void break_off(const std::string& why);
  void close();
  void forget_ended();
  // Leaves the stream's channels; gives all of them up where this one is not closed.
  void end() noexcept;

  const Stream& compute_;
  std::string name_;
  std::chrono::seconds patience_;
  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;  // none once aborted
  const char* operation_ = "";
  std::deque<UnderWay> under_way_;                // in their order; some may have ended
  std::optional<Clock::time_point> stuck_since_;  // none where the first of them has not begun
  std::string failure_;
  Unwinding unwinding_;
};

}  // namespace masformer::nccl
