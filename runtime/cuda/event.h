// Owns a CUDA event: a point in the work of a CUDA stream that the host or other streams wait for.
#pragma once

#include "runtime/cuda/error.h"

namespace masformer::cuda {

class Event {
 public:
  // Only `timed` events have seconds_since(); they cost more.
  explicit Event(bool timed = false) {
    check(cudaEventCreateWithFlags(&handle_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "cudaEventCreateWithFlags");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(handle_); }

  // Records the end of the work that `stream` has been given so far.
  void record(cudaStream_t stream) { check(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
  // Makes work that is issued to `stream` from now on wait for the point.
  void stream_wait(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent");
  }
  // Seconds from `earlier` to this point. Requires that both are timed and done.
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_), "cudaEventElapsedTime");
    return 1e-3 * double(milliseconds);
  }
  bool done() const {
    const cudaError_t status = cudaEventQuery(handle_);
    if (status == cudaErrorNotReady) {
      cudaGetLastError();  // clears it, so that the next call does not report it
      return false;
    }
    check(status, "cudaEventQuery");
    return true;
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace masformer::cuda
