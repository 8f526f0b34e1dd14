// Events. A wait refers to the event's last record at the time when the wait was issued.
#include <chrono>
#include <memory>
#include <utility>

#include "tests/fake_cuda/error.h"
#include "tests/fake_cuda/stream.h"
#include "tests/fake_cuda/waits.h"

namespace fake_cuda {

struct EventRecord {
  bool done = false;
  bool waited_for = false;  // whether a wait for it was counted
  std::chrono::steady_clock::time_point when;
  cudaStream_t stream = nullptr;
  std::uint64_t number = 0;  // of pieces issued to the stream

  // Counts a wait of the host, if the stream has at most a few more pieces of work.
  void note_wait() {
    constexpr int few = 8;
    if (waited_for || done || issued(stream) >= number + few) return;
    waited_for = true;
    count_wait_for_end();
  }
};

}  // namespace fake_cuda

namespace {

// A host that repeatedly asks for the same event, and issues nothing in between, waits for it.
void note_query(const std::shared_ptr<fake_cuda::EventRecord>& record) {
  constexpr int often = 8;
  // Never destroyed: used while other objects are.
  static auto& last = *new std::shared_ptr<fake_cuda::EventRecord>;
  static std::uint64_t issued_then;
  static int times;
  const std::uint64_t issued = fake_cuda::issued_in_all();
  const bool idle = std::exchange(issued_then, issued) == issued;
  times = std::exchange(last, record) == record && idle ? times + 1 : 1;
  if (times == often) record->note_wait();
}

}  // namespace

struct CUevent_st {
  bool timed;
  std::shared_ptr<fake_cuda::EventRecord> record;  // null until it is first recorded
};

using fake_cuda::remembered;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{!(flags & cudaEventDisableTiming), nullptr};
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!event || !fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  event->record = std::make_shared<fake_cuda::EventRecord>();
  fake_cuda::enqueue(stream, [record = event->record] {
    record->done = true;
    record->when = std::chrono::steady_clock::now();
    return true;
  });
  event->record->stream = stream;
  event->record->number = fake_cuda::issued(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!event || !fake_cuda::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  if (event->record) fake_cuda::enqueue(stream, [record = event->record] { return record->done; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  if (event->record) note_query(event->record);
  fake_cuda::try_each_once();
  return remembered(!event->record || event->record->done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  if (!event->record) return cudaSuccess;
  event->record->note_wait();
  fake_cuda::run_until([record = event->record] { return record->done; });
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  for (const cudaEvent_t each : {start, end}) {
    if (!each || !each->timed || !each->record) return remembered(cudaErrorInvalidResourceHandle);
    if (!each->record->done) return remembered(cudaErrorNotReady);
  }
  const std::chrono::duration<float, std::milli> elapsed = end->record->when - start->record->when;
  *milliseconds = elapsed.count();
  return cudaSuccess;
}
