// Checks whether a machine has the memory that a plan needs. This happens before anything is
// allocated, because a system that overcommits would kill a rank in the middle of the run instead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masformer {

// Bytes that this process may still allocate: MemAvailable of /proc/meminfo, or less if a control
// group of this process (Slurm's, a container's) allows less. The largest integer if the system
// reports neither. `system` is the folder that holds /proc and /sys.
std::int64_t available_host_memory(const std::filesystem::path& system = "/");

// The bytes that one rank plans to allocate, and those that its machine or device has available.
struct MemoryDemand {
  std::string place;
  std::int64_t planned = 0;
  std::int64_t available = 0;
  int stage = 0;  // of the pipeline
};

// Returns a message that names ranks and stages, with remedy, if the ranks on `place` together
// don't fit, else "". `ranks`: [rank]. `recomputable`: whether recomputation could reduce their
// memory.
std::string memory_shortage(const std::vector<MemoryDemand>& ranks, const std::string& place,
                            bool recomputable);

// The message for memory that ends in the middle of a run, because of something that the plan does
// not know, such as a library or another program. `place`: the host, and what else is known of the
// rank.
std::string out_of_memory(const std::string& place);

}  // namespace masformer
