// The checkpoints of a run: their names, the newest good one, and the removal of old ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"

namespace masformer {

// RUN_DIR/checkpoints/step-00000100
std::filesystem::path checkpoint_path(const std::filesystem::path& run_dir, std::int64_t step);

// The committed checkpoints of a run, by step.
std::map<std::int64_t, std::filesystem::path> list_checkpoints(
    const std::filesystem::path& run_dir);

struct FoundCheckpoint {
  std::filesystem::path directory;
  std::vector<std::string> skipped;  // newer ones that are damaged, each with what is wrong
};

// The newest checkpoint that is complete and undamaged; none if there is none at all. Throws Error
// where there are some and all are damaged. Collective over `world`.
std::optional<FoundCheckpoint> find_newest(Communicator& world,
                                           const std::filesystem::path& run_dir);

// Removes all but the newest `keep` checkpoints (0 keeps all), and what interrupted saves left
// behind. Called by one rank, while none saves. A crash at any moment leaves no damaged step-*
// directory.
void prune_checkpoints(const std::filesystem::path& run_dir, std::int64_t keep);

}  // namespace masformer
