#include <hdf5.h>

#include "data/hdf5_handle.h"
#include "data/store_layout.h"
#include "runtime/error.h"

namespace masformer::data {
namespace {

void check(bool done, const std::filesystem::path& path) {
  if (!done) fail("can't write {}: HDF5 says: {}", path.string(), hdf5_reason());
}

bool write_attribute(hid_t file, const char* name, hid_t type, hid_t memory, const void* value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle made(H5Acreate2(file, name, type, space.id(), H5P_DEFAULT, H5P_DEFAULT),
                        H5Aclose);
  return made && H5Awrite(made.id(), memory, value) >= 0;
}

bool write_text(hid_t file, const char* name, const std::string& value) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.id(), value.size() + 1);
  return write_attribute(file, name, type.id(), type.id(), value.c_str());
}

bool write_integer(hid_t file, const char* name, std::int64_t value) {
  return write_attribute(file, name, H5T_STD_U64LE, H5T_NATIVE_INT64, &value);
}

// A contiguous dataset whose place is fixed at once, and which is not filled.
Hdf5Handle create_dataset(hid_t file, const char* name, hid_t type, std::size_t count) {
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation.id(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER);
  const hsize_t extent = count;
  const Hdf5Handle space(H5Screate_simple(1, &extent, nullptr), H5Sclose);
  return {H5Dcreate2(file, name, type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
          H5Dclose};
}

}  // namespace

std::int64_t create_store(const std::filesystem::path& path, const StoreLayout& layout) {
  const QuietHdf5 quiet;
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, unlocked_access().id()),
                  H5Fclose);
  check(static_cast<bool>(file), path);
  check(write_text(file.id(), "format", store_format) &&
            write_integer(file.id(), "version", store_version) &&
            write_text(file.id(), "tokenizer", layout.tokenizer) &&
            write_integer(file.id(), "vocabulary", layout.vocabulary) &&
            write_integer(file.id(), "largest_id", layout.largest_id),
        path);
  Hdf5Handle documents =
      create_dataset(file.id(), "documents", H5T_STD_U64LE, layout.documents.size());
  check(documents && H5Dwrite(documents.id(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                              layout.documents.data()) >= 0,
        path);
  Hdf5Handle tokens =
      create_dataset(file.id(), "tokens", layout.token_bytes == 2 ? H5T_STD_U16LE : H5T_STD_U32LE,
                     static_cast<std::size_t>(layout.tokens));
  check(static_cast<bool>(tokens), path);
  const haddr_t offset = H5Dget_offset(tokens.id());
  check(offset != HADDR_UNDEF, path);
  check(documents.close() && tokens.close() && file.close(), path);
  return static_cast<std::int64_t>(offset);
}

}  // namespace masformer::data
