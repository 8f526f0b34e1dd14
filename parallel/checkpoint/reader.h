// Loading from a checkpoint.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "parallel/checkpoint/manifest.h"
#include "parallel/sharding.h"
#include "runtime/tensor.h"

namespace masformer {

// Reads hyperslabs of a checkpoint under any layout. Files are opened on demand and kept open, up
// to a quarter of the process's limit. Used by one thread. Call damaged_files() first: HDF5 does
// not notice flipped bytes.
class CheckpointReader {
 public:
  explicit CheckpointReader(std::filesystem::path directory);  // throws Error as read_manifest()
  ~CheckpointReader();
  CheckpointReader(CheckpointReader&&) noexcept;
  CheckpointReader& operator=(CheckpointReader&&) noexcept;
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  const std::filesystem::path& directory() const { return directory_; }
  const Manifest& manifest() const { return manifest_; }
  // Fills `data` (contiguous fp32 on the CPU, of slab.shape). Throws Error if the checkpoint has
  // no such tensor or the slab is not inside of it.
  void read(const std::string& name, const Hyperslab& slab, Tensor data);

 private:
  struct Files;
  std::filesystem::path directory_;
  Manifest manifest_;
  std::unique_ptr<Files> files_;
};

}  // namespace masformer
