// What the CUDA backend keeps for a Stream: its stream on the device, and scratch memory that the
// stream's ops use one after the other.
#pragma once

#include <cstdint>
#include <cuda_runtime_api.h>
#include <map>
#include <memory>
#include <string>

#include "runtime/stream.h"

namespace masformer::cuda {

// What a library keeps for a queue: a handle, a cache of plans.
class LibraryState {
 public:
  virtual ~LibraryState() = default;
};

// As DeviceStream::bus_id().
std::string bus_id(const cudaDeviceProp& properties);

class CudaStream final : public DeviceStream {
 public:
  // On device `index`, which becomes the calling thread's.
  explicit CudaStream(int index);
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() override;

  cudaStream_t handle() const { return handle_; }
  void synchronize() override;
  std::unique_ptr<BackendEvent> record() override;
  void download(const Tensor& from, void* pinned) override;
  std::string name() const override;
  std::string bus_id() const override;
  std::int64_t available_memory() const override;
  double peak_flops(DType dtype) const override;
  const cudaDeviceProp& properties() const { return properties_; }

  // At least `bytes`, on a border of 256 bytes, for the op that asks until the next op asks. Grows
  // by waiting for the stream and taking memory anew.
  void* scratch(std::int64_t bytes);
  std::int64_t scratch_bytes() const override { return scratch_bytes_; }
  void reserve_scratch(std::int64_t bytes) override { scratch(bytes); }

  // The one State of this queue, made from the queue when it is first asked for.
  template <class State>
  State& library() {
    static const char key = 0;  // one address a type
    std::unique_ptr<LibraryState>& state = libraries_[&key];
    if (!state) state = std::make_unique<State>(*this);
    return static_cast<State&>(*state);
  }

 private:
  class Mark;

  // Returns when `done` gives true; checks what is watched again and again.
  template <class Done>
  void wait_until(const Done& done) const;

  cudaDeviceProp properties_{};
  cudaStream_t handle_ = nullptr;
  void* scratch_ = nullptr;
  std::int64_t scratch_bytes_ = 0;
  std::map<const void*, std::unique_ptr<LibraryState>> libraries_;
};

// Of a stream that is on a CUDA device.
inline CudaStream& cuda_stream_of(const Stream& stream) {
  return static_cast<CudaStream&>(*stream.device_stream());
}

}  // namespace masformer::cuda
