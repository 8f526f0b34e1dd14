#include "parallel/checkpoint/reader.h"

#include <algorithm>
#include <list>
#include <map>
#include <sys/resource.h>
#include <utility>

#include <fmt/ranges.h>

#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/shard_file.h"
#include "runtime/error.h"
#include "runtime/io/hdf5_handle.h"

namespace masformer {

using namespace checkpoint;
using namespace io;

namespace {

// A quarter of the process's limit, which usually makes 256 files; MPI and the token store need
// some, too.
std::size_t max_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return std::clamp<std::size_t>(limit.rlim_cur / 4, 16, 1024);
}

Hdf5File open_shard(const std::filesystem::path& path) {
  const Hdf5Properties access = unlocked_access();
  Hdf5File file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()));
  require(static_cast<bool>(file), "can't open {}: {}", path.string(), hdf5_reason());
  return file;
}

// Opens the data set of a piece and checks it against the manifest.
Hdf5Dataset open_dataset(const Hdf5File& file, const StoredPiece& piece) {
  Hdf5Dataset dataset(H5Dopen2(file.id(), piece.dataset.c_str(), H5P_DEFAULT));
  require(static_cast<bool>(dataset), "{}: can't open {}: {}", piece.file, piece.dataset,
          hdf5_reason());
  const Hdf5Type type(H5Dget_type(dataset.id()));
  const Hdf5Space space(H5Dget_space(dataset.id()));
  std::vector<hsize_t> extents(dataset_extents(piece.slab.shape).size());
  const bool same = H5Tequal(type.id(), H5T_IEEE_F32LE) > 0 &&
                    H5Sget_simple_extent_ndims(space.id()) == static_cast<int>(extents.size()) &&
                    H5Sget_simple_extent_dims(space.id(), extents.data(), nullptr) >= 0 &&
                    extents == dataset_extents(piece.slab.shape);
  require(same, "{}: {} is not fp32 of shape [{}], but the manifest says so", piece.file,
          piece.dataset, fmt::join(piece.slab.shape, ", "));
  return dataset;
}

// Returns a data space (of memory or of a file) that holds `box` of the tensor, with `part` of the
// tensor selected in it.
Hdf5Space select(const Hyperslab& box, const Hyperslab& part) {
  const std::vector<hsize_t> extents = dataset_extents(box.shape);
  const std::vector<hsize_t> count = dataset_extents(part.shape);
  std::vector<hsize_t> start(extents.size(), 0);
  for (std::size_t dim = 0; dim < box.offset.size(); ++dim) {
    start[dim] = static_cast<hsize_t>(part.offset[dim] - box.offset[dim]);
  }
  Hdf5Space space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
  const bool selected = H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr,
                                            count.data(), nullptr) >= 0;
  require(selected, "can't select {} of {}: {}", to_string(part), to_string(box), hdf5_reason());
  return space;
}

void check_destination(const std::string& name, const Hyperslab& slab, const Tensor& data) {
  require(data.dtype() == DType::f32 && data.device() == Device::cpu && data.contiguous() &&
              data.shape() == Shape(slab.shape),
          "{}: {} can't be read into {} of {} on {}: it must be contiguous fp32 on the CPU", name,
          to_string(slab), data.shape(), name_of(data.dtype()), name_of(data.device()));
}

}  // namespace

struct CheckpointReader::Files {
  using Named = std::pair<std::string, Hdf5File>;
  std::list<Named> open;  // the most recently used one first
  std::map<std::string, std::list<Named>::iterator> by_name;
  std::size_t capacity = max_open_files();

  const Hdf5File& get(const std::filesystem::path& directory, const std::string& name) {
    if (const auto found = by_name.find(name); found != by_name.end()) {
      open.splice(open.begin(), open, found->second);
      return open.front().second;
    }
    if (open.size() >= capacity) {
      by_name.erase(open.back().first);
      open.pop_back();
    }
    open.emplace_front(name, open_shard(directory / name));
    by_name[name] = open.begin();
    return open.front().second;
  }
};

CheckpointReader::CheckpointReader(std::filesystem::path directory)
    : directory_(std::move(directory)),
      manifest_(read_manifest(directory_)),
      files_(std::make_unique<Files>()) {}

CheckpointReader::~CheckpointReader() = default;
CheckpointReader::CheckpointReader(CheckpointReader&&) noexcept = default;
CheckpointReader& CheckpointReader::operator=(CheckpointReader&&) noexcept = default;

void CheckpointReader::read(const std::string& name, const Hyperslab& slab, Tensor data) {
  const auto found = manifest_.tensors.find(name);
  require(found != manifest_.tensors.end(), "{} has no tensor {}", directory_.string(), name);
  const StoredTensor& tensor = found->second;
  require(lies_in(slab, tensor.shape), "{}: {} of {} is not inside [{}]", directory_.string(),
          to_string(slab), name, fmt::join(tensor.shape, ", "));
  check_destination(name, slab, data);
  const Hdf5Quiet quiet;
  for (const StoredPiece& piece : tensor.pieces) {
    const auto part = intersect(piece.slab, slab);
    if (!part) continue;
    const Hdf5Dataset dataset = open_dataset(files_->get(directory_, piece.file), piece);
    const Hdf5Space memory = select(slab, *part);
    const Hdf5Space stored = select(piece.slab, *part);
    require(H5Dread(dataset.id(), H5T_NATIVE_FLOAT, memory.id(), stored.id(), H5P_DEFAULT,
                    data.raw()) >= 0,
            "{}: can't read {}: {}", (directory_ / piece.file).string(), piece.dataset,
            hdf5_reason());
  }
}

}  // namespace masformer
