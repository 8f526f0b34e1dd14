#include <hdf5.h>

#include "data/store_layout.h"
#include "runtime/error.h"
#include "runtime/io/hdf5_handle.h"

namespace masformer::data {

using namespace io;

namespace {

void check(bool done) {
  require(done, "HDF5 can't describe the token store: {}", hdf5_reason());
}

bool write_attribute(hid_t file, const char* name, hid_t type, hid_t memory, const void* value) {
  const Hdf5Space space(H5Screate(H5S_SCALAR));
  const Hdf5Attribute made(H5Acreate2(file, name, type, space.id(), H5P_DEFAULT, H5P_DEFAULT));
  return made && H5Awrite(made.id(), memory, value) >= 0;
}

bool write_text(hid_t file, const char* name, const std::string& value) {
  const Hdf5Type type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), value.size() + 1);
  return write_attribute(file, name, type.id(), type.id(), value.c_str());
}

bool write_integer(hid_t file, const char* name, std::int64_t value) {
  return write_attribute(file, name, H5T_STD_U64LE, H5T_NATIVE_INT64, &value);
}

// A contiguous dataset whose space is allocated at once and not filled. It stores no timestamps, so
// that preparing the same text always gives an identical file.
Hdf5Dataset create_dataset(hid_t file, const char* name, hid_t type, std::size_t count) {
  const Hdf5Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_layout(creation.id(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(creation.id(), false);
  const hsize_t extent = count;
  const Hdf5Space space(H5Screate_simple(1, &extent, nullptr));
  return Hdf5Dataset(
      H5Dcreate2(file, name, type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT));
}

// Keeps the file in `bytes`, which HDF5 resizes and does not free.
Hdf5Properties memory_access(std::vector<std::byte>& bytes) {
  H5FD_file_image_callbacks_t callbacks{};
  callbacks.image_malloc = [](size_t size, H5FD_file_image_op_t, void* out) -> void* {
    auto& file = *static_cast<std::vector<std::byte>*>(out);
    file.resize(size);
    return file.data();
  };
  callbacks.image_realloc = [](void*, size_t size, H5FD_file_image_op_t, void* out) -> void* {
    auto& file = *static_cast<std::vector<std::byte>*>(out);
    file.resize(size);
    return file.data();
  };
  callbacks.image_free = [](void*, H5FD_file_image_op_t, void*) -> herr_t { return 0; };
  callbacks.udata_copy = [](void* out) { return out; };
  callbacks.udata_free = [](void*) -> herr_t { return 0; };
  callbacks.udata = &bytes;
  constexpr std::size_t growth = 1;  // bytes: the file ends with the last byte in use
  Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS));
  check(H5Pset_fapl_core(access.id(), growth, false) >= 0 &&
        H5Pset_file_image_callbacks(access.id(), &callbacks) >= 0);
  return access;
}

}  // namespace

StoreFrame frame_store(const StoreLayout& layout) {
  const Hdf5Quiet quiet;
  StoreFrame frame;
  const Hdf5Properties access = memory_access(frame.bytes);
  Hdf5File file(H5Fcreate("token store", H5F_ACC_TRUNC, H5P_DEFAULT, access.id()));
  check(file && write_text(file.id(), "format", store_format) &&
        write_integer(file.id(), "version", store_version) &&
        write_text(file.id(), "tokenizer", layout.tokenizer) &&
        write_integer(file.id(), "vocabulary", layout.vocabulary) &&
        write_integer(file.id(), "largest_id", layout.largest_id));
  Hdf5Dataset documents =
      create_dataset(file.id(), "documents", H5T_STD_U64LE, layout.documents.size());
  check(documents && H5Dwrite(documents.id(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                              layout.documents.data()) >= 0);
  Hdf5Dataset tokens =
      create_dataset(file.id(), "tokens", layout.token_bytes == 2 ? H5T_STD_U16LE : H5T_STD_U32LE,
                     static_cast<std::size_t>(layout.tokens));
  const haddr_t offset = tokens ? H5Dget_offset(tokens.id()) : HADDR_UNDEF;
  check(offset != HADDR_UNDEF && documents.close() && tokens.close() && file.close());
  frame.offset = static_cast<std::int64_t>(offset);
  return frame;
}

}  // namespace masformer::data
