// Events. What waits for one waits for the record that was its last when the wait was issued.
#include <chrono>
#include <memory>

#include "tests/cuda_double/error.h"
#include "tests/cuda_double/queue.h"

namespace {

struct Record {
  bool done = false;
  std::chrono::steady_clock::time_point when;
};

}  // namespace

struct CUevent_st {
  bool timed;
  std::shared_ptr<Record> record;  // null until it is first recorded
};

using cuda_double::remembered;

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
  if (!event || !cuda_double::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  event->record = std::make_shared<Record>();
  cuda_double::enqueue(stream, [record = event->record] {
    *record = {true, std::chrono::steady_clock::now()};
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!event || !cuda_double::is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  if (event->record)
    cuda_double::enqueue(stream, [record = event->record] { return record->done; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  cuda_double::try_each_once();
  return remembered(!event->record || event->record->done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event) return remembered(cudaErrorInvalidResourceHandle);
  if (event->record) cuda_double::run_until([record = event->record] { return record->done; });
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
