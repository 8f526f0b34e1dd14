#include "runtime/io/hdf5_handle.h"

namespace masformer::io {
namespace {

herr_t keep_description(unsigned /*depth*/, const H5E_error2_t* entry, void* text) {
  if (entry->desc != nullptr) *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

}  // namespace

Hdf5Properties unlocked_access() {
  Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS));
  const bool unlocked = access && H5Pset_file_locking(access.id(), false, true) >= 0;
  return unlocked ? std::move(access) : Hdf5Properties();
}

Hdf5Quiet::Hdf5Quiet() {
  H5Eget_auto2(H5E_DEFAULT, &printer_, &printer_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Quiet::~Hdf5Quiet() {
  H5Eset_auto2(H5E_DEFAULT, printer_, printer_data_);
}

std::string hdf5_reason() {
  std::string text = "HDF5 gives no reason";
  // Downward: from the function that was called to the one that failed, which comes last.
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_description, &text);
  return text;
}

}  // namespace masformer::io
