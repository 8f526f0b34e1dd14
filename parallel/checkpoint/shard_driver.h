// How HDF5 writes a shard: through a descriptor that we own, by a file driver that never fails.
//
// HDF5 1.10 can't close a file whose writes fail (a full disk): it crashes at H5Fclose or at the
// program's end. So this driver keeps the first errno for us, drops what follows, and tells HDF5
// that all is well. The caller asks for the error when the file is closed.
#pragma once

#include <cstdint>

#include "runtime/io/hdf5_handle.h"

namespace masformer::checkpoint {

// Where the driver writes, and what became of it.
struct ShardSink {
  int descriptor = -1;  // open for reading and writing, empty at first
  int error = 0;        // errno of the first failure; nothing is written after it
};

// A file-access property list for H5Fcreate. `sink` must outlive every file made with it.
io::Hdf5Properties shard_access(ShardSink& sink);

}  // namespace masformer::checkpoint
