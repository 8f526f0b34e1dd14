// The HDF5 file driver that writes a shard, through a descriptor that we own.
//
// HDF5 1.10 can't close a file whose writes fail (on a full disk): it crashes in H5Fclose or when
// the program ends. So this driver never reports a failure to HDF5. It records the first errno and
// drops all later writes; the caller checks the error after each call and after closing the file.
#pragma once

#include <cstdint>

#include "runtime/io/hdf5_handle.h"

namespace masformer::checkpoint {

// Where the driver writes, and the first error.
struct ShardSink {
  int descriptor = -1;  // open for reading and writing, empty at first
  int error = 0;        // errno of the first failure; nothing is written after that
};

// A file access property list for H5Fcreate. `sink` must outlive every file created with it.
io::Hdf5Properties shard_access(ShardSink& sink);

}  // namespace masformer::checkpoint
