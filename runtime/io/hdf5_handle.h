// Owners of HDF5's identifiers, and its errors as text. HDF5 is not thread-safe: one thread per
// rank calls it.
#pragma once

#include <string>
#include <utility>

#include <hdf5.h>

namespace masformer::io {

// Owns an identifier, which `closer` closes. Empty (negative) if HDF5 failed to make one.
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
  // Closes early. Returns false if HDF5 failed: buffered data of a file was not written.
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

// Access properties for reading without file locks: a file that never changes needs no lock, and
// not every file system has locks.
Hdf5Properties unlocked_access();

// While an object exists, HDF5 prints no errors itself.
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

// HDF5's text for the innermost cause of its last failure. Closing a handle discards it.
std::string hdf5_reason();

}  // namespace masformer::io
