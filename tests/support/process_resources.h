// Counts the resources of a process, for tests that make and destroy objects.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <ostream>
#include <sstream>
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

// The kernel lists a thread for a moment after it was joined; exiting threads do not count.
inline bool is_ending(const std::filesystem::path& thread) {
  std::ifstream file(thread / "stat");
  std::string text;
  std::getline(file, text);
  std::istringstream words(text.substr(std::min(text.rfind(") "), text.size() - 1) + 1));
  std::string before;  // state, parent, group, session, terminal and its group: see proc(5)
  for (int i = 0; i < 6; ++i) words >> before;
  constexpr unsigned exiting = 4;  // PF_EXITING
  unsigned flags = exiting;        // the value for a thread that is gone by now
  words >> flags;
  return (flags & exiting) != 0;
}

inline ProcessResources held_resources() {
  using Entries = std::filesystem::directory_iterator;
  std::int64_t threads = 0;
  for (const auto& thread : Entries("/proc/self/task")) threads += is_ending(thread) ? 0 : 1;
  return {std::distance(Entries("/proc/self/fd"), {}), threads,
          H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL)};
}

// In bytes. 0 with AddressSanitizer, which keeps freed memory and finds leaks itself, and with
// ThreadSanitizer, whose own tables grow with the addresses in use.
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
