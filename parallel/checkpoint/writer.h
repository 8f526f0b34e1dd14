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
  Hyperslab slab;  // where `data` stands in the global tensor; may be empty
  Tensor data;     // contiguous, on the CPU, of slab.shape
};

// Writes `directory` (".../step-00000100"): this rank's pieces into its shard, then, when all ranks
// are done, the manifest, on rank 0. It is committed by one rename after everything is durable: a
// crash at any moment leaves either no directory of this name or a complete one. What stands there
// already is replaced. `attributes` (an object; rank 0's are taken) is kept in the manifest for the
// caller. Each element of each tensor must come from exactly one rank; this is found out before
// anything is written. Collective over `world`; all ranks throw the same Error where any fails (a
// full disk, a read-only folder), and what was written is removed.
void write_checkpoint(Communicator& world, const std::filesystem::path& directory,
                      const nlohmann::json& attributes, const std::vector<TensorPiece>& pieces);

}  // namespace masformer
