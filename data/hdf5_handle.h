// HDF5 ids with one owner each, and HDF5's own account of what went wrong. HDF5 is not thread-safe:
// one thread of a process uses it.
#pragma once

#include <string>

#include <hdf5.h>

namespace masformer::data {

class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  // Takes over `id`, which may be invalid (negative): then the handle is empty.
  Hdf5Handle(hid_t id, Close closer) : id_(id), close_(closer) {}
  ~Hdf5Handle() { close(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept;
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept;
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;

  hid_t id() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  // Closes now. False where HDF5 could not: for a file, what it held back was not written.
  bool close() noexcept;

 private:
  hid_t id_;
  Close close_;
};

// How files are opened for reading: without locks, which a file that never changes does not need,
// and which not every file system offers.
Hdf5Handle unlocked_access();

// While one lives, HDF5 prints nothing.
class QuietHdf5 {
 public:
  QuietHdf5();
  ~QuietHdf5();
  QuietHdf5(const QuietHdf5&) = delete;
  QuietHdf5& operator=(const QuietHdf5&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

// The innermost cause of HDF5's last failure, in its own words.
std::string hdf5_reason();

}  // namespace masformer::data
