// What a person needs to know when a save finds the disk full.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace masformer::checkpoint {

// Says how much a checkpoint of `needed` bytes takes, how much is free on the disk of `folder`, and
// which checkpoints and leftovers `folder` holds, with their sizes, on a line each. Leaves out what
// it can't read.
std::string describe_disk_space(const std::filesystem::path& folder, std::int64_t needed);

}  // namespace masformer::checkpoint
