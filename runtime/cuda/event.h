// A point in the work of a CUDA stream that others wait for.
#pragma once

#include "runtime/cuda/error.h"

namespace masformer::cuda {

class Event {
 public:
  // `timed`: for seconds_since().
  explicit Event(bool timed = false) {
    check(cudaEventCreateWithFlags(&handle_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "cudaEventCreateWithFlags");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(handle_); }

  // The point is the end of what `stream` has been given so far.
  void record(cudaStream_t stream) { check(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
  // What `stream` is given from now on runs after the point.
  void stream_wait(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent");
  }
  // From the point of `earlier` to this one; both are timed and done.
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_), "cudaEventElapsedTime");
    return 1e-3 * double(milliseconds);
  }
  bool done() const {
    const cudaError_t status = cudaEventQuery(handle_);
    if (status == cudaErrorNotReady) {
      cudaGetLastError();  // is not kept for the next call
      return false;
    }
    check(status, "cudaEventQuery");
    return true;
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace masformer::cuda
