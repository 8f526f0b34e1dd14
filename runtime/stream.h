// A stream is an order of work on a device. Ops are issued to a stream and run in the order of
// issue; on the CPU each is done when its call returns.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tensor.h"
#include "runtime/unwinding.h"

namespace masformer {

// Work on a device that waits for other ranks, such as a collective.
class Watched {
 public:
  virtual ~Watched() = default;
  // Throws Error if the wait can no longer succeed.
  virtual void check() = 0;
  // Ends the work without a result.
  virtual void abort_all() noexcept = 0;
};

// A point in the work of a device's stream.
class BackendEvent {
 public:
  virtual ~BackendEvent() = default;
  // Returns when the device has reached it. Checks what the stream watches meanwhile.
  virtual void wait() = 0;
  // Seconds from `earlier`, a point of the same stream, to this one. The device must have reached
  // it.
  virtual double seconds_since(const BackendEvent& earlier) const = 0;
};

// What a device keeps for a Stream: its own stream, and the handles of its libraries. Only the
// backend that made it knows its class.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  // Returns when all issued work is done. Checks what is watched repeatedly while it waits.
  virtual void synchronize() = 0;
  // Returns an event at the end of the work that was issued so far.
  virtual std::unique_ptr<BackendEvent> record() = 0;
  // Issues a reading of the host's steady clock, which is made when the stream comes to it, and for
  // which the stream stops for a moment. Returns where its nanoseconds will be.
  virtual std::shared_ptr<const std::atomic<std::int64_t>> read_clock() = 0;
  // Issues a copy of a contiguous tensor's elements to pinned memory of the host.
  virtual void download(const Tensor& from, void* pinned) = 0;
  // "NVIDIA H100 80GB HBM3 GPU-1f0c2a9e", with the first digits of the UUID that nvidia-smi -L
  // prints. It is unique; an index is not, since CUDA_VISIBLE_DEVICES may show each rank another
  // device.
  virtual std::string name() const = 0;
  // "0000:1b:00", its place on the machine's PCI buses. Parts of one device (MIG) have different
  // names and the same bus id.
  virtual std::string bus_id() const = 0;
  virtual std::int64_t available_memory() const = 0;  // bytes
  // Operations per second of dense matrix products of `dtype` at best, by the data sheet; fp32
  // without TF32.
  virtual double peak_flops(DType dtype) const = 0;
  // The working memory of ops that is allocated so far. An op that needs more waits for all issued
  // work and allocates it anew.
  virtual std::int64_t scratch_bytes() const = 0;
  virtual void reserve_scratch(std::int64_t bytes) = 0;

  // `what` must outlive the stream's last wait.
  void watch(Watched& what) { watched_.push_back(&what); }
  // Ends all watched work.
  void abort_all() noexcept {
    for (Watched* const each : watched_) each->abort_all();
  }

 protected:
  const std::vector<Watched*>& watched() const { return watched_; }

 private:
  std::vector<Watched*> watched_;
};

// The bus ids of the devices that are visible to this process, by index; empty for the CPU. Throws
// UsageError if there is no such device.
std::vector<std::string> visible_devices(Device device);

class OpTimer;
class WaitTimer;

class Stream {
 public:
  // `threads`: how many the CPU backend may use in each op; at least 1. `index`: which of the
  // visible devices; a rank uses one, and the calling thread allocates on it from now on.
  // `deterministic`: ops give the same bits every time, even if the device has faster ones that do
  // not; the CPU's ops always do. Throws UsageError if there is no such device.
  explicit Stream(Device device, int threads = 1, int index = 0, bool deterministic = false);

  Device device() const { return device_; }
  int threads() const { return threads_; }
  bool deterministic() const { return deterministic_; }
  // Returns when all work issued so far is done.
  void synchronize() const {
    if (device_stream_) device_stream_->synchronize();
  }
  // Null on the CPU.
  DeviceStream* device_stream() const { return device_stream_.get(); }
  // What times the calls on this stream; usually null. It attaches and detaches itself.
  OpTimer* timer() const { return timer_; }
  void set_timer(OpTimer* timer) { timer_ = timer; }
  // The same for waits alone.
  WaitTimer* wait_timer() const { return wait_timer_; }
  void set_wait_timer(WaitTimer* timer) { wait_timer_ = timer; }
  // Attention on the CPU, whose calls may take seconds, calls `poll` while it computes, at most
  // every 50 us, so that messages make progress meanwhile. It calls it only from the thread that
  // issued the op. `poll` must not issue ops to this stream. If it throws, the op finishes without
  // further polls and throws the same. Empty for none. Device streams ignore it: their ops do not
  // keep the calling thread.
  void set_poll(std::function<void()> poll) { poll_ = std::move(poll); }
  // Whether poll() does anything.
  bool polls() const { return poll_ != nullptr && device_stream_ == nullptr; }
  void poll() const {
    if (polls()) poll_();
  }

 private:
  Device device_;
  int threads_;
  bool deterministic_;
  std::unique_ptr<DeviceStream> device_stream_;
  OpTimer* timer_ = nullptr;
  WaitTimer* wait_timer_ = nullptr;
  std::function<void()> poll_;
};

// Aborts what other ranks keep a stream's device waiting for where an exception ends its scope.
// Memory of a device is released only when the device is done, so the scope ends before the
// memory's owners.
class AbortOnFailure {
 public:
  explicit AbortOnFailure(const Stream& stream) : stream_(stream) {}
  AbortOnFailure(const AbortOnFailure&) = delete;
  AbortOnFailure& operator=(const AbortOnFailure&) = delete;
  ~AbortOnFailure() {
    if (stream_.device_stream() != nullptr && unwinding_.now())
      stream_.device_stream()->abort_all();
  }

 private:
  const Stream& stream_;
  Unwinding unwinding_;
};

// Throws Error unless `stream` is on the device of `tensor`.
void require_same_device(const Stream& stream, const Tensor& tensor);

}  // namespace masformer
