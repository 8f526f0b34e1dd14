// What a process holds, counted: for tests that build up and tear down.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <ostream>
#include <string>
#include <unistd.h>

#include <hdf5.h>

namespace masformer::test {

struct ProcessResources {
  std::int64_t descriptors = 0, threads = 0;
  std::int64_t hdf5_objects = 0;  // files, data sets, groups, types, attributes

  bool operator==(const ProcessResources&) const = default;
};

inline void PrintTo(const ProcessResources& held, std::ostream* out) {
  *out << held.descriptors << " descriptors, " << held.threads << " threads, " << held.hdf5_objects
       << " HDF5 objects";
}

inline ProcessResources held_resources() {
  const auto entries = [](const char* folder) {
    return std::distance(std::filesystem::directory_iterator(folder), {});
  };
  return {entries("/proc/self/fd"), entries("/proc/self/task"),
          H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL)};
}

// In bytes. Nothing with AddressSanitizer, which keeps what is freed, and finds leaks by itself,
// nor with ThreadSanitizer, whose own notes on each address grow with what was touched.
struct ProcessMemory {
  std::int64_t resident = 0, heap = 0;
};

inline ProcessMemory held_memory() {
#ifdef MASFORMER_SANITIZED
  return {};
#else
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  file >> all >> resident;
  return {resident * sysconf(_SC_PAGESIZE), static_cast<std::int64_t>(mallinfo2().uordblks)};
#endif
}

}  // namespace masformer::test
