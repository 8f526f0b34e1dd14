#include "parallel/checkpoint/shard_file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/statvfs.h>

#include "runtime/error.h"
#include "runtime/io/digest.h"

namespace masformer::checkpoint {

using namespace io;

namespace {

// " (needs 12.3 MiB more)": the bytes still to write minus the free space; "" if unknown.
std::string shortage(const File& file, std::int64_t wanted) {
  struct statvfs volume {};
  if (fstatvfs(file.descriptor(), &volume) != 0) return "";
  const auto available = static_cast<std::int64_t>(volume.f_bavail * volume.f_frsize);
  const std::int64_t missing = wanted - file.bytes() - available;
  if (missing <= 0) return "";
  return fmt::format(" (needs {:.1f} MiB more)", static_cast<double>(missing) / (1 << 20));
}

// Data sets are contiguous. Space is allocated on write and not filled before. No time stamps, so
// that the same pieces give the same bytes.
Hdf5Properties dataset_creation() {
  Hdf5Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  const bool made = creation && H5Pset_layout(creation.id(), H5D_CONTIGUOUS) >= 0 &&
                    H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER) >= 0 &&
                    H5Pset_obj_track_times(creation.id(), false) >= 0;
  return made ? std::move(creation) : Hdf5Properties();
}

bool write_attribute(const Hdf5Dataset& dataset, const char* name,
                     const std::vector<std::int64_t>& values) {
  // A tensor of no dimensions has attributes of one entry, like its data set.
  const std::vector<std::int64_t> stored = values.empty() ? std::vector<std::int64_t>{1} : values;
  const hsize_t count = stored.size();
  const Hdf5Space space(H5Screate_simple(1, &count, nullptr));
  const Hdf5Attribute attribute(
      H5Acreate2(dataset.id(), name, H5T_STD_I64LE, space.id(), H5P_DEFAULT, H5P_DEFAULT));
  return attribute && H5Awrite(attribute.id(), H5T_NATIVE_INT64, stored.data()) >= 0;
}

}  // namespace

std::vector<hsize_t> dataset_extents(const std::vector<std::int64_t>& shape) {
  std::vector<hsize_t> extents(shape.begin(), shape.end());
  if (extents.empty()) extents.push_back(1);
  return extents;
}

ShardWriter::ShardWriter(const std::filesystem::path& path, std::int64_t bytes)
    : file_(path, O_RDWR | O_CREAT | O_TRUNC), bytes_(bytes), sink_{file_.descriptor()} {
  const Hdf5Properties access = shard_access(sink_);
  check(static_cast<bool>(access), "set up HDF5 for");
  hdf5_ = Hdf5File(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.id()));
  check(static_cast<bool>(hdf5_), "create");
}

void ShardWriter::write(const std::string& dataset, const std::vector<std::int64_t>& global_shape,
                        const Hyperslab& slab, const Tensor& data) {
  const std::vector<hsize_t> extents = dataset_extents(slab.shape);
  const Hdf5Space space(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
  const Hdf5Properties creation = dataset_creation();
  check(space && creation, "describe " + dataset + " in");
  const Hdf5Dataset target(H5Dcreate2(hdf5_.id(), dataset.c_str(), H5T_IEEE_F32LE, space.id(),
                                      H5P_DEFAULT, creation.id(), H5P_DEFAULT));
  const std::vector<std::int64_t> offset =
      slab.offset.empty() ? std::vector<std::int64_t>{0} : slab.offset;
  check(target && write_attribute(target, "global_shape", global_shape) &&
            write_attribute(target, "offset", offset),
        "create " + dataset + " in");
  check(H5Dwrite(target.id(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.raw()) >= 0,
        "write " + dataset + " to");
}

StoredFile ShardWriter::finish() {
  check(hdf5_.close(), "close");
  // Start writing to the disk now, while the digest is computed from the system's cache.
  file_.start_sync();
  StoredFile stored{file_.bytes(), digest_of(file_)};
  file_.sync();
  return stored;
}

// Report the system's error first, because HDF5's is only its consequence.
void ShardWriter::check(bool holds, const std::string& what) const {
  if (sink_.error != 0) {
    const bool full = sink_.error == ENOSPC || sink_.error == EDQUOT;
    fail_for_errno("write", file_.path(), sink_.error, full ? shortage(file_, bytes_) : "");
  }
  require(holds, "can't {} {}: {}", what, file_.path().string(), hdf5_reason());
}

}  // namespace masformer::checkpoint
