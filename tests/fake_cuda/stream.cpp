#include "tests/fake_cuda/stream.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "tests/fake_cuda/device_memory.h"
#include "tests/fake_cuda/error.h"
#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/waits.h"

struct CUstream_st {
  std::deque<std::function<bool()>> work;
  std::uint64_t issued = 0;
  bool destroyed = false;  // the program destroyed it; it ends when its work is done
};

namespace fake_cuda {
namespace {

// The first one is the null stream. Never destroyed, because plugins destroy their streams late.
std::vector<std::unique_ptr<CUstream_st>>& streams() {
  static auto& all = *[] {
    auto* only_null = new std::vector<std::unique_ptr<CUstream_st>>;
    only_null->push_back(std::make_unique<CUstream_st>());
    return only_null;
  }();
  return all;
}

std::uint64_t all_issued = 0;

CUstream_st* find(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return streams().front().get();
  for (const auto& each : streams())
    if (each.get() == stream && !each->destroyed) return stream;
  return nullptr;
}

void require_one_thread() {
  static const std::thread::id first = std::this_thread::get_id();
  if (std::this_thread::get_id() != first) report("a second host thread uses CUDA");
}

bool try_first(CUstream_st& stream) {
  if (!stream.work.front()()) return false;
  stream.work.pop_front();
  return true;
}

std::vector<CUstream_st*> busy_streams() {
  std::vector<CUstream_st*> busy;
  for (const auto& each : streams())
    if (!each->work.empty()) busy.push_back(each.get());
  return busy;
}

// Device memory is accessible while an object exists. Work must not wait for other work, because
// that would never end.
class Turn {
 public:
  Turn() {
    require_one_thread();
    if (std::exchange(working_, true)) report("work on a stream calls CUDA");
    device_memory().open();
  }
  ~Turn() {
    std::erase_if(streams(),
                  [](const auto& each) { return each->destroyed && each->work.empty(); });
    device_memory().close();
    working_ = false;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  static inline bool working_ = false;
};

// Returns whether a piece of work was finished.
bool run_one() {
  const std::vector<CUstream_st*> busy = busy_streams();
  if (busy.empty()) report("the host waits for work that was never issued");
  const Order order(busy.size());
  for (std::size_t i = 0; i < busy.size(); ++i)
    if (try_first(*busy[order[i]])) return true;
  return false;
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<bool()> try_run) {
  require_one_thread();
  CUstream_st* queue = find(stream);
  if (!queue) report("work is issued to a stream that does not exist");
  queue->work.push_back(std::move(try_run));
  ++queue->issued;
  ++all_issued;
}

std::uint64_t issued_in_all() {
  return all_issued;
}

std::uint64_t issued(cudaStream_t stream) {
  const CUstream_st* const queue = find(stream);
  return queue ? queue->issued : 0;
}

bool is_stream(cudaStream_t stream) {
  return find(stream) != nullptr;
}

void run_until(const std::function<bool()>& done) {
  if (done()) return;
  const Turn turn;
  while (!done())
    if (!run_one()) std::this_thread::yield();  // leaves the core to the process that must act
}

void try_each_once() {
  const Turn turn;
  const std::vector<CUstream_st*> busy = busy_streams();
  if (busy.empty()) return;
  const Order order(busy.size());
  for (std::size_t i = 0; i < busy.size(); ++i) try_first(*busy[order[i]]);
}

void run_stream(cudaStream_t stream) {
  const CUstream_st* const queue = find(stream);
  if (!queue->work.empty()) count_wait_for_end();
  run_until([queue] { return queue->work.empty(); });
}

void run_device() {
  if (!busy_streams().empty()) count_wait_for_end();
  run_until([] { return busy_streams().empty(); });
}

}  // namespace fake_cuda

using fake_cuda::remembered;

// Only non-blocking streams: one that waited for the null stream would hide missing waits.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return remembered(cudaErrorNotSupported);
  *stream = fake_cuda::streams().emplace_back(std::make_unique<CUstream_st>()).get();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr || !fake_cuda::is_stream(stream))
    return remembered(cudaErrorInvalidResourceHandle);
  stream->destroyed = true;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (!fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  fake_cuda::run_stream(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (!fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  fake_cuda::try_each_once();
  return remembered(fake_cuda::find(stream)->work.empty() ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize() {
  fake_cuda::run_device();
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  if (!fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  fake_cuda::enqueue(stream, [function, data] {
    function(data);
    return true;
  });
  return cudaSuccess;
}
