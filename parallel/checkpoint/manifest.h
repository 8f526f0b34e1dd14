// What a checkpoint holds and where, and whether it is still what was written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parallel/comm/communicator.h"
#include "parallel/sharding.h"

namespace masformer {

// Where a piece of a tensor is stored.
struct StoredPiece {
  std::string file;     // name within the checkpoint's directory
  std::string dataset;  // path within the file
  Hyperslab slab;
};

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::vector<StoredPiece> pieces;

  std::int64_t elements() const;
};

struct StoredFile {
  std::int64_t bytes = 0;
  std::string digest;  // XXH3-128 of the whole file, 32 hexadecimal digits
};

struct Manifest {
  nlohmann::json attributes = nlohmann::json::object();
  std::map<std::string, StoredTensor> tensors;
  std::map<std::string, StoredFile> files;
};

// Throws UsageError where there is none, and Error that names the file where it is damaged, not a
// manifest, or inconsistent: a piece outside its tensor, an element stored twice or not at all, a
// file that is not listed.
Manifest read_manifest(const std::filesystem::path& directory);

// The names of the files whose size or digest is not what the manifest says, each with what is
// wrong: "shard-00001.h5: digest differs". The ranks of `world` share the reading, and all get the
// whole list.
std::vector<std::string> damaged_files(Communicator& world, const std::filesystem::path& directory,
                                       const Manifest& manifest);

// The same, where nothing may be damaged: throws AgreedError that lists what is. Collective.
void require_undamaged(Communicator& world, const std::filesystem::path& directory,
                       const Manifest& manifest);

}  // namespace masformer
