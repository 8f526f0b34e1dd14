// HDF5's identifiers with owners, and its errors as texts. HDF5 is not thread-safe: one thread of a
// rank enters it.
#pragma once

#include <string>
#include <utility>

#include <hdf5.h>

namespace masformer::io {

// Owns an identifier that `closer` gives back. Empty (negative) where HDF5 made none.
template <herr_t (*closer)(hid_t)>
class Hdf5Handle {
 public:
  Hdf5Handle() = default;
  explicit Hdf5Handle(hid_t id) : id_(id) {}
  ~Hdf5Handle() { close(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      close();
      id_ = std::exchange(other.id_, -1);
    }
    return *this;
  }
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;

  hid_t id() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  // Closes early. False where HDF5 could not: for a file, what it held back was not written.
  bool close() noexcept { return id_ < 0 || closer(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_ = -1;
};

using Hdf5File = Hdf5Handle<H5Fclose>;
using Hdf5Group = Hdf5Handle<H5Gclose>;
using Hdf5Dataset = Hdf5Handle<H5Dclose>;
using Hdf5Space = Hdf5Handle<H5Sclose>;
using Hdf5Type = Hdf5Handle<H5Tclose>;
using Hdf5Attribute = Hdf5Handle<H5Aclose>;
using Hdf5Properties = Hdf5Handle<H5Pclose>;

// How files are opened for reading: without locks, which a file that never changes does not need,
// and which not every file system offers.
Hdf5Properties unlocked_access();

// While it lives, HDF5 prints nothing itself.
class Hdf5Quiet {
 public:
  Hdf5Quiet();
  ~Hdf5Quiet();
  Hdf5Quiet(const Hdf5Quiet&) = delete;
  Hdf5Quiet& operator=(const Hdf5Quiet&) = delete;

 private:
  H5E_auto2_t printer_ = nullptr;
  void* printer_data_ = nullptr;
};

// The innermost cause of HDF5's last failure, in its own words. Closing a handle forgets it.
std::string hdf5_reason();

}  // namespace masformer::io
