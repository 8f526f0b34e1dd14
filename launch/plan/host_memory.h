// Whether a machine has the memory that a plan takes. This is checked before any of it is
// allocated, since a system that overcommits would kill a rank in the middle of the run instead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masformer {

// Bytes that the processes of this machine may still allocate: what /proc/meminfo calls available,
// or less if a control group of this process (Slurm's, a container's) allows less. The largest
// number if the system reports neither. `system` is the folder that holds /proc and /sys.
std::int64_t available_host_memory(const std::filesystem::path& system = "/");

// What one rank plans to take, and what its machine or device has available; in bytes.
struct MemoryDemand {
  std::string place;
  std::int64_t planned = 0;
  std::int64_t available = 0;
};

// The message about ranks that together don't fit on `place`, with its remedy; "" if they fit.
// `recomputable`: whether recomputation could lower what they take.
std::string memory_shortage(const std::vector<MemoryDemand>& ranks, const std::string& place,
                            bool recomputable);

}  // namespace masformer
