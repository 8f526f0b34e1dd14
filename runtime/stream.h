// An order of work on a device. Ops are issued to a stream and run in the order of issue; on the
// CPU each is done when its call returns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/tensor.h"
#include "runtime/unwinding.h"

namespace masformer {

// What other ranks may keep a device waiting for.
class Watched {
 public:
  virtual ~Watched() = default;
  // Throws Error where waiting longer is of no use.
  virtual void check() = 0;
  // Ends it, with no result.
  virtual void abort_all() noexcept = 0;
};

// A point in a queue's work.
class BackendEvent {
 public:
  virtual ~BackendEvent() = default;
  // Returns when the device has come to it; checks what the queue watches meanwhile.
  virtual void wait() = 0;
  // From when the device came to `earlier`, of the same queue, until it came here, which it has.
  virtual double seconds_since(const BackendEvent& earlier) const = 0;
};

// What a device keeps for a stream: its own queue, and the handles of its libraries. The backend
// that made it knows what it is.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  // Checks what is watched again and again while it waits.
  virtual void synchronize() = 0;
  // At the end of what the queue has been given so far.
  virtual std::unique_ptr<BackendEvent> record() = 0;
  // Fills pinned memory of the host with a contiguous tensor's elements when the device comes to
  // it.
  virtual void download(const Tensor& from, void* pinned) = 0;
  // "NVIDIA H100 80GB HBM3 GPU-1f0c2a9e", as nvidia-smi -L begins its UUID: no other device has it.
  // Indices don't tell devices apart, since each rank may be shown another one.
  virtual std::string name() const = 0;
  // "0000:1b:00": where on its machine's PCI buses it is. Parts of a device (MIG) have names of
  // their own, and this in common.
  virtual std::string bus_id() const = 0;
  virtual std::int64_t available_memory() const = 0;  // bytes
  // Operations a second of dense matrix products of `dtype` at best, by the data sheet; fp32
  // without TF32.
  virtual double peak_flops(DType dtype) const = 0;
  // Of working memory that was taken on the device for the ops so far; they take more where they
  // need it, by waiting for what was issued.
  virtual std::int64_t scratch_bytes() const = 0;
  virtual void reserve_scratch(std::int64_t bytes) = 0;

  // `what` outlives the queue's last wait.
  void watch(Watched& what) { watched_.push_back(&what); }
  // Ends all that is watched.
  void abort_all() noexcept {
    for (Watched* const each : watched_) each->abort_all();
  }

 protected:
  const std::vector<Watched*>& watched() const { return watched_; }

 private:
  std::vector<Watched*> watched_;
};

// Where the devices that this process is shown are on the machine's buses, by their index; of the
// CPU, none. Throws UsageError where there is none to be had.
std::vector<std::string> visible_devices(Device device);

class OpTimer;

class Stream {
 public:
  // `threads`: how many the CPU backend may use in each op; at least 1. `index`: which of the
  // machine's devices; a rank has one, which this thread's memory is on from now on. Throws
  // UsageError where the device is not to be had. `deterministic`: ops give the same bits every
  // time, even where a device has something faster that doesn't; the CPU's always do.
  explicit Stream(Device device, int threads = 1, int index = 0, bool deterministic = false);

  Device device() const { return device_; }
  int threads() const { return threads_; }
  bool deterministic() const { return deterministic_; }
  // Returns when everything issued so far is done.
  void synchronize() const {
    if (device_stream_) device_stream_->synchronize();
  }
  // Null on the CPU.
  DeviceStream* device_stream() const { return device_stream_.get(); }
  // What times the calls on this stream; usually null. It attaches and detaches itself.
  OpTimer* timer() const { return timer_; }
  void set_timer(OpTimer* timer) { timer_ = timer; }

 private:
  Device device_;
  int threads_;
  bool deterministic_;
  std::unique_ptr<DeviceStream> device_stream_;
  OpTimer* timer_ = nullptr;
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

// Throws Error unless `stream` is on the device of `tensor`; ops call it once.
void require_same_device(const Stream& stream, const Tensor& tensor);

}  // namespace masformer
