// The memory of the pretend device, of MASFORMER_CUDA_DOUBLE_MEMORY bytes (4 GiB): addresses of its
// own, at which the host finds nothing but while work runs. So host code that follows a device
// pointer ends with a segmentation fault, as it would beside a device.
#pragma once

#include <cstddef>
#include <map>

namespace fake_cuda {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes);

  // Poisoned (all bits set: NaN in any precision). Null where less than `bytes` are left.
  void* take(std::size_t bytes);
  // Stops the program where something was written behind the allocation; false where `start` is
  // none.
  bool give_back(void* start);

  std::size_t total() const { return total_; }
  std::size_t free() const { return total_ - taken_; }
  // Whether [start, start + bytes) lies within one allocation.
  bool holds(const void* start, std::size_t bytes) const;
  // Whether `address` is one of the device's, taken or not.
  bool owns(const void* address) const { return start_ <= address && address < end_; }

  void open();
  void close();

 private:
  std::byte* find_gap(std::size_t bytes) const;
  void protect(int protection) const;

  std::size_t total_, taken_ = 0;
  std::byte *start_, *end_;                     // of the addresses, twice as many as bytes
  std::map<std::byte*, std::size_t> taken_at_;  // bytes that were asked for
};

DeviceMemory& device_memory();

}  // namespace fake_cuda
