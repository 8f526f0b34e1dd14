// The explanation for the user if a save finds the disk full.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace masformer::checkpoint {

// Says how large a checkpoint of `needed` bytes is, how much is free on the disk of `folder`, and
// which checkpoints and leftovers `folder` holds, with their sizes, one per line. Leaves out what
// it can't read.
std::string describe_disk_space(const std::filesystem::path& folder, std::int64_t needed);

}  // namespace masformer::checkpoint
