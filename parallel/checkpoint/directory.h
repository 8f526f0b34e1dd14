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

// The committed checkpoints of a run, by step, in ascending order.
std::map<std::int64_t, std::filesystem::path> list_checkpoints(
    const std::filesystem::path& run_dir);

struct FoundCheckpoint {
  std::filesystem::path directory;
  std::vector<std::string> skipped;  // newer damaged ones, each with what is wrong
};

// The newest checkpoint that is complete and undamaged; none if there is no checkpoint. Throws
// AgreedError if all are damaged, and where a file can't be read for a reason that is not damage
// (its rights, a failing disk): skipping a good checkpoint would silently repeat steps. Collective
// over `world`.
std::optional<FoundCheckpoint> find_newest(Communicator& world,
                                           const std::filesystem::path& run_dir);

// Removes what interrupted saves and removals left in a folder of checkpoints, and returns the
// names. Called by one rank, which holds the run's lock, while none saves. Throws SystemError.
std::vector<std::string> remove_leftovers(const std::filesystem::path& folder);

// Removes leftovers and all but the newest `keep` checkpoints (0 keeps all). Called by one rank,
// which holds the run's lock, while none saves: after a save, and before it, because a killed run
// may have left more. A crash at any moment leaves no damaged step-* directory.
void prune_checkpoints(const std::filesystem::path& run_dir, std::int64_t keep);

}  // namespace masformer
