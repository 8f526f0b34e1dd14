#include "runtime/cuda/queue.h"

#include "runtime/cuda/error.h"

namespace masformer::cuda {

Queue::Queue(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

Queue::~Queue() {
  cudaStreamSynchronize(handle_);
  libraries_.clear();
  cudaFree(scratch_);
  cudaStreamDestroy(handle_);
}

void Queue::synchronize() {
  check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
}

void* Queue::scratch(std::int64_t bytes) {
  if (bytes > scratch_bytes_) {
    synchronize();
    check(cudaFree(scratch_), "cudaFree");
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    check(cudaMalloc(&scratch_, static_cast<std::size_t>(bytes)), "cudaMalloc of scratch memory");
    scratch_bytes_ = bytes;
  }
  return scratch_;
}

}  // namespace masformer::cuda
