// One rank's shard: an HDF5 file with one contiguous fp32 data set for each piece.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/shard_driver.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_handle.h"
#include "runtime/tensor.h"

namespace masformer::checkpoint {

// Writes a shard. Throws SystemError or Error that names the file.
class ShardWriter {
 public:
  // `bytes` is the total of all pieces, for the message about a full disk.
  ShardWriter(const std::filesystem::path& path, std::int64_t bytes);
  ~ShardWriter() = default;
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // Writes directly from the tensor's memory. `slab` (not empty) and `global_shape` become
  // attributes.
  void write(const std::string& dataset, const std::vector<std::int64_t>& global_shape,
             const Hyperslab& slab, const Tensor& data);
  // Closes the file. Returns when it is durable.
  StoredFile finish();

 private:
  void check(bool holds, const std::string& what) const;

  io::Hdf5Quiet quiet_;
  io::File file_;
  std::int64_t bytes_;
  ShardSink sink_;
  io::Hdf5File hdf5_;  // uses sink_, so it is declared after it and destroyed first
};

// The extents of a piece's data set. A tensor of no dimensions is stored as one of [1].
std::vector<hsize_t> dataset_extents(const std::vector<std::int64_t>& shape);

}  // namespace masformer::checkpoint
