#include "parallel/checkpoint/shard_driver.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <unistd.h>

namespace masformer::checkpoint {
namespace {

// Large data sets start on pages of the file, so that they can be mapped and written directly.
constexpr hsize_t alignment = 4096;

// HDF5 copies this into the property list.
struct DriverInfo {
  ShardSink* sink;
};

// The open file as HDF5 sees it; its own part must come first.
struct DriverFile {
  H5FD_t base;
  ShardSink* sink;
  haddr_t end_of_addresses;  // allocated by HDF5
  haddr_t end_of_file;       // written so far
};

DriverFile& own(H5FD_t* file) {
  return *reinterpret_cast<DriverFile*>(file);
}
const DriverFile& own(const H5FD_t* file) {
  return *reinterpret_cast<const DriverFile*>(file);
}

H5FD_t* open_file(const char* /*name*/, unsigned /*flags*/, hid_t access, haddr_t /*largest*/) {
  const auto* info = static_cast<const DriverInfo*>(H5Pget_driver_info(access));
  if (info == nullptr) return nullptr;
  auto* file = new (std::nothrow) DriverFile{{}, info->sink, 0, 0};
  return file == nullptr ? nullptr : &file->base;
}

herr_t close_file(H5FD_t* file) {
  delete &own(file);
  return 0;
}

herr_t query(const H5FD_t* /*file*/, unsigned long* features) {
  // The same as HDF5's default driver: small writes are aggregated, partial ones sieved.
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
              H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t /*type*/) {
  return own(file).end_of_addresses;
}

herr_t set_eoa(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address) {
  own(file).end_of_addresses = address;
  return 0;
}

haddr_t get_eof(const H5FD_t* file, H5FD_mem_t /*type*/) {
  return own(file).end_of_file;
}

// What was dropped or never written reads as zeros.
herr_t read_bytes(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t address,
                  std::size_t size, void* buffer) {
  ShardSink& sink = *own(file).sink;
  auto* out = static_cast<char*>(buffer);
  while (size > 0 && sink.error == 0) {
    const ssize_t count = pread(sink.descriptor, out, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) sink.error = errno;
    if (count <= 0) break;
    out += count;
    address += static_cast<haddr_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  std::memset(out, 0, size);
  return 0;
}

herr_t write_bytes(H5FD_t* file, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t address,
                   std::size_t size, const void* buffer) {
  ShardSink& sink = *own(file).sink;
  own(file).end_of_file = std::max(own(file).end_of_file, address + size);
  const auto* in = static_cast<const char*>(buffer);
  while (size > 0 && sink.error == 0) {
    const ssize_t count = pwrite(sink.descriptor, in, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      sink.error = count < 0 ? errno : EIO;
      break;
    }
    in += count;
    address += static_cast<haddr_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return 0;
}

herr_t truncate_file(H5FD_t* file, hid_t /*transfer*/, hbool_t /*closing*/) {
  DriverFile& self = own(file);
  if (self.end_of_file == self.end_of_addresses) return 0;
  ShardSink& sink = *self.sink;
  if (sink.error == 0 &&
      ftruncate(sink.descriptor, static_cast<off_t>(self.end_of_addresses)) != 0) {
    sink.error = errno;
  }
  self.end_of_file = self.end_of_addresses;
  return 0;
}

hid_t register_driver() {
  constexpr H5FD_mem_t kinds[] = H5FD_FLMAP_DICHOTOMY;
  H5FD_class_t driver{};
  driver.name = "masformer-shard";
  driver.maxaddr = (haddr_t{1} << 63) - 1;
  driver.fc_degree = H5F_CLOSE_WEAK;
  driver.fapl_size = sizeof(DriverInfo);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query;
  driver.get_eoa = get_eoa;
  driver.set_eoa = set_eoa;
  driver.get_eof = get_eof;
  driver.read = read_bytes;
  driver.write = write_bytes;
  driver.truncate = truncate_file;
  std::copy(std::begin(kinds), std::end(kinds), std::begin(driver.fl_map));
  return H5FDregister(&driver);
}

}  // namespace

io::Hdf5Properties shard_access(ShardSink& sink) {
  static const hid_t driver = register_driver();
  io::Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS));
  const DriverInfo info{&sink};
  if (!access || H5Pset_driver(access.id(), driver, &info) < 0 ||
      H5Pset_alignment(access.id(), alignment, alignment) < 0) {
    return {};
  }
  return access;
}

}  // namespace masformer::checkpoint
