// The CUDA backend's part of a Stream: a CUDA stream, and working memory that the stream's ops use
// one after another.
#pragma once

#include <atomic>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <map>
#include <memory>
#include <string>

#include "runtime/stream.h"

namespace masformer::cuda {

// The state of a library for one stream, such as a handle or a cache of plans.
class LibraryState {
 public:
  virtual ~LibraryState() = default;
};

// The result of DeviceStream::bus_id().
std::string bus_id(const cudaDeviceProp& properties);

class CudaStream final : public DeviceStream {
 public:
  // On device `index`, which becomes the calling thread's current device.
  explicit CudaStream(int index);
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() override;

  cudaStream_t handle() const { return handle_; }
  void synchronize() override;
  std::unique_ptr<BackendEvent> record() override;
  std::shared_ptr<const std::atomic<std::int64_t>> read_clock() override;
  void download(const Tensor& from, void* pinned) override;
  std::string name() const override;
  std::string bus_id() const override;
  std::int64_t available_memory() const override;
  double peak_flops(DType dtype) const override;
  const cudaDeviceProp& properties() const { return properties_; }

  // At least `bytes` of working memory, aligned to 256 bytes. It belongs to the calling op until
  // the next op asks. To grow, waits for the stream and allocates anew.
  void* scratch(std::int64_t bytes);
  std::int64_t scratch_bytes() const override { return scratch_bytes_; }
  void reserve_scratch(std::int64_t bytes) override { scratch(bytes); }

  // The stream's one State, constructed from the stream on the first call.
  template <class State>
  State& library() {
    static const char key = 0;  // its address is different for each type
    std::unique_ptr<LibraryState>& state = libraries_[&key];
    if (!state) state = std::make_unique<State>(*this);
    return static_cast<State&>(*state);
  }

 private:
  class RecordedEvent;

  // Returns when `done` returns true. Meanwhile checks the watched objects every few milliseconds.
  template <class Done>
  void wait_until(const Done& done) const;

  cudaDeviceProp properties_{};
  cudaStream_t handle_ = nullptr;
  void* scratch_ = nullptr;
  std::int64_t scratch_bytes_ = 0;
  std::map<const void*, std::unique_ptr<LibraryState>> libraries_;
};

// Requires a stream on a CUDA device.
inline CudaStream& cuda_stream_of(const Stream& stream) {
  return static_cast<CudaStream&>(*stream.device_stream());
}

}  // namespace masformer::cuda
