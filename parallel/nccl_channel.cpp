#include "parallel/nccl_channel.h"

#include <thread>
#include <utility>

#include <fmt/format.h>

#include "parallel/nccl_live_channels.h"
#include "runtime/cuda/queue.h"
#include "runtime/error.h"

namespace masformer::nccl {
namespace {

cudaStream_t handle_of(const Stream& stream) {
  return cuda::queue_of(stream).handle();
}

LiveChannels& live_channels(const Stream& stream) {
  return cuda::queue_of(stream).library<LiveChannels>();
}

// Calls within it are one NCCL operation. Ends, too, where one of them fails, for nothing else can
// be called inside.
class Group {
 public:
  Group() { check(ncclGroupStart(), "ncclGroupStart"); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    if (open_) ncclGroupEnd();
  }
  ncclResult_t end() {
    open_ = false;
    return ncclGroupEnd();
  }

 private:
  bool open_ = true;
};

}  // namespace

void check(ncclResult_t status, const char* call) {
  require(status == ncclSuccess || status == ncclInProgress, "{} failed: {}; {}", call,
          ncclGetErrorString(status), ncclGetLastError(nullptr));
}

class Channel::Operation final : public PendingOperation {
 public:
  Operation(std::shared_ptr<Channel> channel, std::shared_ptr<cuda::Event> end)
      : channel_(std::move(channel)), end_(std::move(end)) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() override {
    if (waited_ || unwinding_.now()) return;
    try {
      end_->hold_back(handle_of(channel_->compute_));
    } catch (const Error&) {  // nobody waited to hear of it
    }
  }

  void wait() override {
    channel_->require_healthy();
    end_->hold_back(handle_of(channel_->compute_));
    waited_ = true;
  }
  bool done() override {
    live_channels(channel_->compute_).check();
    return waited_ = end_->done();
  }

 private:
  std::shared_ptr<Channel> channel_;
  std::shared_ptr<cuda::Event> end_;
  bool waited_ = false;
  Unwinding unwinding_;
};

Channel::Channel(const Stream& compute, const Place& place, std::string name, int most_blocks,
                 std::chrono::seconds patience)
    : compute_(compute), name_(std::move(name)), patience_(patience) {
  cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
              "cudaStreamCreateWithFlags");
  live_channels(compute_).add(*this);
  try {
    connect(place, most_blocks);
  } catch (...) {
    end();
    throw;
  }
}

void Channel::connect(const Place& place, int most_blocks) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (most_blocks > 0) config.maxCTAs = most_blocks;
  operation_ = "connection";
  settle(ncclCommInitRankConfig(&comm_, place.size, place.id, place.rank, &config));
}

Channel::~Channel() {
  if (!unwinding_.now()) {
    try {
      if (comm_ != nullptr) close();
    } catch (const Error&) {  // nobody waited to hear of it
    }
  }
  end();
}

void Channel::end() noexcept {
  if (comm_ != nullptr) live_channels(compute_).give_up();
  live_channels(compute_).remove(*this);
  cudaStreamDestroy(stream_);
}

void Channel::close() {
  for (; !under_way_.empty(); std::this_thread::yield()) live_channels(compute_).check();
  operation_ = "closing";
  settle(ncclCommFinalize(comm_));
  nccl::check(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
}

masformer::Event Channel::start(const char* operation, const Calls& calls) {
  require_healthy();
  forget_ended();
  operation_ = operation;
  UnderWay started{operation, std::make_unique<cuda::Event>(), std::make_shared<cuda::Event>()};
  started.begin->record(handle_of(compute_));
  started.begin->hold_back(stream_);
  Group group;
  calls(comm_, stream_);
  settle(group.end());
  started.end->record(stream_);
  under_way_.push_back(std::move(started));
  return masformer::Event(std::make_unique<Operation>(shared_from_this(), under_way_.back().end));
}

void Channel::forget_ended() {
  for (; !under_way_.empty() && under_way_.front().end->done(); under_way_.pop_front()) {
    stuck_since_.reset();
  }
}

void Channel::settle(ncclResult_t status) {
  const Clock::time_point begin = Clock::now();
  while (status == ncclInProgress) {
    if (Clock::now() - begin > patience_) {
      break_off(fmt::format("did not get ready in {} s", patience_.count()));
    }
    std::this_thread::yield();
    nccl::check(ncclCommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
  }
  if (status != ncclSuccess) {
    break_off(fmt::format("failed: {}; {}", ncclGetErrorString(status), ncclGetLastError(comm_)));
  }
}

void Channel::require_healthy() {
  if (comm_ == nullptr) fail("{}", failure_);
  ncclResult_t status = ncclSuccess;
  nccl::check(ncclCommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
  if (status != ncclInProgress) settle(status);
}

void Channel::check() {
  require_healthy();
  forget_ended();
  if (under_way_.empty() || !under_way_.front().begin->done()) return stuck_since_.reset();
  const Clock::time_point now = Clock::now();
  if (!stuck_since_) stuck_since_ = now;
  if (now - *stuck_since_ > patience_) {
    operation_ = under_way_.front().operation;
    break_off(fmt::format("did not end in {} s: a rank has stopped or the network is down",
                          patience_.count()));
  }
}

void Channel::break_off(const std::string& why) {
  failure_ = fmt::format("{}: NCCL's {} {} (NCCL_DEBUG=INFO says more)", name_, operation_, why);
  // NCCL ends a call that it makes for the channel in the background by waiting for it, and the
  // call may wait for what other channels keep on the device: this one, which may have such a call,
  // is the last to end.
  live_channels(compute_).remove(*this);
  live_channels(compute_).add(*this);
  live_channels(compute_).give_up();
  fail("{}", failure_);
}

void Channel::abort() noexcept {
  if (comm_ == nullptr) return;
  if (failure_.empty()) failure_ = name_ + ": NCCL was given up after another failure";
  ncclCommAbort(std::exchange(comm_, nullptr));
}

}  // namespace masformer::nccl
