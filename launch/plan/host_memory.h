// Whether the memory that a plan takes is there: asked before any of it is taken, since a system
// that overcommits would kill a rank in the middle of the run instead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masformer {

// Bytes that this process and its neighbours may still take: what the machine has available, or
// less where a control group (of Slurm, a container) allows less. The largest number where the
// system does not say. `system` is where /proc and /sys stand.
std::int64_t available_host_memory(const std::filesystem::path& system = "/");

// What one rank is going to take, and what it sees on its machine or device; in bytes.
struct MemoryDemand {
  std::string place;
  std::int64_t planned = 0;
  std::int64_t available = 0;
};

// Why the ranks at `place` don't fit there, and what helps; "" where they do. `recomputable`:
// whether recomputation could make what they take smaller.
std::string memory_shortage(const std::vector<MemoryDemand>& ranks, const std::string& place,
                            bool recomputable);

}  // namespace masformer
