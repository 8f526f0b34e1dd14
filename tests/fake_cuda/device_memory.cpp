#include "tests/fake_cuda/device_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#include "runtime/rounding.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

using masformer::round_up;

constexpr std::size_t unit = 512;    // allocations are multiples of it, as on a device
constexpr std::size_t margin = 512;  // poisoned bytes behind each allocation, for overruns
constexpr std::size_t page = 4096;
constexpr std::size_t huge_page =
    2 << 20;  // fewer pages make mprotect(), which is called often, faster
constexpr std::byte poison{0xff};

// The bytes of address range that an allocation occupies.
std::size_t extent(std::size_t bytes) {
  return round_up(bytes, unit) + margin;
}

// Returns the memory of whole pages between `from` and `to` to the system.
void drop_pages(std::byte* from, std::byte* to) {
  const auto first = round_up(reinterpret_cast<std::uintptr_t>(from), page);
  const auto last = reinterpret_cast<std::uintptr_t>(to) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::size_t configured_bytes() {
  const char* bytes = std::getenv("MASFORMER_FAKE_CUDA_MEMORY");
  return bytes ? std::strtoull(bytes, nullptr, 10) : std::size_t{4} << 30;
}

}  // namespace

DeviceMemory& device_memory() {
  static DeviceMemory& memory = *new DeviceMemory(configured_bytes());
  return memory;
}

DeviceMemory::DeviceMemory(std::size_t bytes) : total_(bytes) {
  const std::size_t addresses = round_up(2 * bytes, huge_page);
  void* start = mmap(nullptr, addresses + huge_page, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) report("no room for {} bytes of addresses", addresses);
  start_ =
      reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(start), huge_page));
  end_ = start_ + addresses;
  madvise(start_, addresses, MADV_HUGEPAGE);  // without huge pages it is slower
}

void* DeviceMemory::take(std::size_t bytes) {
  if (round_up(bytes, unit) > free()) return nullptr;
  std::byte* start = find_gap(extent(bytes));
  if (!start) return nullptr;
  taken_at_[start] = bytes;
  taken_ += round_up(bytes, unit);
  open();
  std::memset(start, static_cast<int>(poison), extent(bytes));
  close();
  return start;
}

// The first gap that is large enough.
std::byte* DeviceMemory::find_gap(std::size_t bytes) const {
  std::byte* gap = start_;
  for (const auto& [start, taken] : taken_at_) {
    if (start - gap >= static_cast<std::ptrdiff_t>(bytes)) return gap;
    gap = start + extent(taken);
  }
  return end_ - gap >= static_cast<std::ptrdiff_t>(bytes) ? gap : nullptr;
}

bool DeviceMemory::give_back(void* start) {
  const auto found = taken_at_.find(static_cast<std::byte*>(start));
  if (found == taken_at_.end()) return false;
  const auto [first, bytes] = *found;
  open();
  const std::byte* end = first + extent(bytes);
  const std::byte* written =
      std::find_if(first + bytes, first + extent(bytes), [](std::byte b) { return b != poison; });
  if (written != end)
    report("{} bytes of device memory were written at byte {}", bytes, written - first);
  close();
  drop_pages(first, first + extent(bytes));
  taken_ -= round_up(bytes, unit);
  taken_at_.erase(found);
  return true;
}

bool DeviceMemory::holds(const void* start, std::size_t bytes) const {
  const auto* address = static_cast<const std::byte*>(start);
  auto next = std::upper_bound(
      taken_at_.begin(), taken_at_.end(), address,
      [](const std::byte* a, const auto& allocation) { return a < allocation.first; });
  if (next == taken_at_.begin()) return false;
  const auto& [first, taken] = *std::prev(next);
  const auto offset = static_cast<std::size_t>(address - first);
  return offset <= taken && bytes <= taken - offset;
}

void DeviceMemory::open() {
  protect(PROT_READ | PROT_WRITE);
}
void DeviceMemory::close() {
  protect(PROT_NONE);
}

// Protects the range up to the end of the last allocation.
void DeviceMemory::protect(int protection) const {
  if (taken_at_.empty()) return;
  const auto& [last, bytes] = *std::prev(taken_at_.end());
  const std::size_t used = static_cast<std::size_t>(last - start_) + extent(bytes);
  if (mprotect(start_, round_up(used, huge_page), protection) != 0) report("mprotect failed");
}

}  // namespace fake_cuda
