#include "parallel/comm/nccl/connection.h"

#include <thread>
#include <utility>

#include <fmt/format.h>

#include "parallel/comm/nccl/live_connections.h"
#include "runtime/cuda/stream.h"
#include "runtime/error.h"

namespace masformer::nccl {
namespace {

cudaStream_t handle_of(const Stream& stream) {
  return cuda::cuda_stream_of(stream).handle();
}

LiveConnections& live_connections(const Stream& stream) {
  return cuda::cuda_stream_of(stream).library<LiveConnections>();
}

// While an object exists, NCCL calls join one group. If a call fails, the destructor ends the
// group, because an open group would collect all later calls.
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

class NcclConnection::Operation final : public PendingRequest {
 public:
  Operation(std::shared_ptr<NcclConnection> connection, std::shared_ptr<cuda::Event> end)
      : connection_(std::move(connection)), end_(std::move(end)) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() override {
    if (waited_ || unwinding_.now()) return;
    try {
      end_->stream_wait(handle_of(connection_->compute_));
    } catch (const Error&) {  // nobody waits for the result
    }
  }

  void wait() override {
    connection_->require_healthy();
    end_->stream_wait(handle_of(connection_->compute_));
    waited_ = true;
  }
  bool done() override {
    live_connections(connection_->compute_).check();
    return waited_ = end_->done();
  }

 private:
  std::shared_ptr<NcclConnection> connection_;
  std::shared_ptr<cuda::Event> end_;
  bool waited_ = false;
  Unwinding unwinding_;
};

NcclConnection::NcclConnection(const Stream& compute, const Place& place, std::string name,
                               int max_ctas, std::chrono::seconds timeout)
    : compute_(compute), name_(std::move(name)), timeout_(timeout) {
  cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
              "cudaStreamCreateWithFlags");
  live_connections(compute_).add(*this);
  try {
    connect(place, max_ctas);
  } catch (...) {
    end();
    throw;
  }
}

void NcclConnection::connect(const Place& place, int max_ctas) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (max_ctas > 0) config.maxCTAs = max_ctas;
  operation_ = "connection";
  finish(ncclCommInitRankConfig(&comm_, place.size, place.id, place.rank, &config));
}

NcclConnection::~NcclConnection() {
  if (!unwinding_.now()) {
    try {
      if (comm_ != nullptr) close();
    } catch (const Error&) {  // nobody waits for the result
    }
  }
  end();
}

void NcclConnection::end() noexcept {
  if (comm_ != nullptr) live_connections(compute_).abort_all();
  live_connections(compute_).remove(*this);
  cudaStreamDestroy(stream_);
}

void NcclConnection::close() {
  for (; !under_way_.empty(); std::this_thread::yield()) live_connections(compute_).check();
  operation_ = "closing";
  finish(ncclCommFinalize(comm_));
  nccl::check(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
}

masformer::Request NcclConnection::start(const char* operation, const Calls& calls) {
  require_healthy();
  forget_ended();
  operation_ = operation;
  UnderWay started{operation,
                   {Clock::now(), timeout_},
                   std::make_unique<cuda::Event>(),
                   std::make_shared<cuda::Event>()};
  started.begin->record(handle_of(compute_));
  started.begin->stream_wait(stream_);
  Group group;
  calls(comm_, stream_);
  finish(group.end());
  started.end->record(stream_);
  under_way_.push_back(std::move(started));
  return masformer::Request(std::make_unique<Operation>(shared_from_this(), under_way_.back().end));
}

void NcclConnection::forget_ended() {
  while (!under_way_.empty() && under_way_.front().end->done()) under_way_.pop_front();
}

void NcclConnection::finish(ncclResult_t status) {
  const Clock::time_point begin = Clock::now();
  while (status == ncclInProgress) {
    std::this_thread::yield();
    // Read the clock before the query, so that a pause of this process between the two does not
    // count.
    const bool late = Clock::now() - begin > timeout_;
    nccl::check(ncclCommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
    if (late && status == ncclInProgress) {
      fail_and_abort(fmt::format("did not get ready in {} s", timeout_.count()));
    }
  }
  if (status != ncclSuccess) {
    fail_and_abort(
        fmt::format("failed: {}; {}", ncclGetErrorString(status), ncclGetLastError(comm_)));
  }
}

void NcclConnection::require_healthy() {
  if (comm_ == nullptr) fail("{}", failure_);
  ncclResult_t status = ncclSuccess;
  nccl::check(ncclCommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
  if (status != ncclInProgress) finish(status);
}

Deadline* NcclConnection::check() {
  require_healthy();
  forget_ended();
  if (under_way_.empty()) return nullptr;
  UnderWay& first = under_way_.front();
  first.deadline.reached = first.begin->done();
  return &first.deadline;
}

void NcclConnection::fail_overdue() {
  operation_ = under_way_.front().operation;
  fail_and_abort(fmt::format("did not end in {} s: a rank has stopped or the network is down",
                             timeout_.count()));
}

void NcclConnection::fail_and_abort(const std::string& why) {
  failure_ = fmt::format("{}: NCCL's {} {} (NCCL_DEBUG=INFO says more)", name_, operation_, why);
  // NCCL may still run a call for this connection in the background. Aborting the connection waits
  // for that call, which may itself wait for operations of other connections. So abort those first.
  live_connections(compute_).remove(*this);
  live_connections(compute_).add(*this);
  live_connections(compute_).abort_all();
  fail("{}", failure_);
}

void NcclConnection::abort() noexcept {
  if (comm_ == nullptr) return;
  if (failure_.empty()) failure_ = name_ + ": NCCL was aborted after another failure";
  ncclCommAbort(std::exchange(comm_, nullptr));
}

}  // namespace masformer::nccl
