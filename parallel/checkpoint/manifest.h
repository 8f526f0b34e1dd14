// The manifest of a checkpoint, and the verification of its files.
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

// A box of a tensor, and the place where it is stored.
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

// Throws UsageError if there is no manifest, SystemError where it can't be read, and Error that
// names the file where it is damaged, not a manifest, or inconsistent: a piece outside its tensor,
// an element stored twice or not at all, a file that is not listed.
Manifest read_manifest(const std::filesystem::path& directory);

// The names of the files that are missing or whose size or digest differs from the manifest, each
// with what is wrong: "shard-00001.h5: digest differs". Each rank of `world` checks some of the
// files; all get the whole list. Throws AgreedError if a file can't be read for another reason.
std::vector<std::string> damaged_files(Communicator& world, const std::filesystem::path& directory,
                                       const Manifest& manifest);

// Throws AgreedError that lists the damaged files, if any. Collective.
void require_undamaged(Communicator& world, const std::filesystem::path& directory,
                       const Manifest& manifest);

}  // namespace masformer
