// Saving a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parallel/comm/communicator.h"
#include "parallel/sharding.h"
#include "runtime/tensor.h"

namespace masformer {

// One rank's part of a global fp32 tensor, in its own memory.
struct TensorPiece {
  std::string name;  // not empty, without '/' and control characters
  std::vector<std::int64_t> global_shape;
  Hyperslab slab;  // the place of `data` in the global tensor; may be empty
  Tensor data;     // contiguous, on the CPU, of slab.shape
};

// Writes the checkpoint `directory` (".../step-00000100"). Each rank writes its pieces into its own
// shard; when all shards are durable, rank 0 writes the manifest and commits the checkpoint by one
// rename. A crash at any moment leaves either no directory of this name or a complete one. A
// checkpoint of the same name is replaced.
//
// Each element of each tensor must come from exactly one rank; this is checked before anything is
// written. `attributes` (an object; rank 0's is used) is kept in the manifest for the caller.
//
// Collective over `world`. If any rank fails (a full disk, a read-only folder), all ranks throw the
// same AgreedError, and what was written is removed. The message about a full disk lists the
// checkpoints and leftovers in the folder with their sizes.
void write_checkpoint(Communicator& world, const std::filesystem::path& directory,
                      const nlohmann::json& attributes, const std::vector<TensorPiece>& pieces);

}  // namespace masformer
