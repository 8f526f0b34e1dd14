// The memory of the fake device, MASFORMER_FAKE_CUDA_MEMORY bytes (4 GiB by default). Its addresses
// are accessible only while work of the device runs, so that host code that follows a device
// pointer ends with a segmentation fault, as it would with a real device.
#pragma once

#include <cstddef>
#include <map>

namespace fake_cuda {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes);

  // Poisoned memory (all bits set: NaN in any precision). Null if less than `bytes` are left.
  void* take(std::size_t bytes);
  // Stops the program if something was written behind the allocation. Returns false if there is no
  // allocation at `start`.
  bool give_back(void* start);

  std::size_t total() const { return total_; }
  std::size_t free() const { return total_ - taken_; }
  // Whether [start, start + bytes) is within one allocation.
  bool holds(const void* start, std::size_t bytes) const;
  // Whether `address` is one of the device's, allocated or not.
  bool owns(const void* address) const { return start_ <= address && address < end_; }

  void open();
  void close();

 private:
  std::byte* find_gap(std::size_t bytes) const;
  void protect(int protection) const;

  std::size_t total_, taken_ = 0;
  std::byte *start_, *end_;                     // the address range, twice as long as the memory
  std::map<std::byte*, std::size_t> taken_at_;  // the bytes that were asked for
};

DeviceMemory& device_memory();

}  // namespace fake_cuda
