// A file system of a few MiB, for tests of a full disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <sched.h>
#include <string>
#include <sys/mount.h>

#include "tests/support/temporary_directory.h"

namespace masformer::test {

// A tmpfs in a mount namespace of this process and its children, unmounted by the destructor.
// Requires root and a process with one thread.
class SmallDisk {
 public:
  explicit SmallDisk(std::int64_t bytes) {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return;
    }
    const std::string size = "size=" + std::to_string(bytes);
    mounted_ = mount("masformer-test", folder_.path().c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }  // false if this user may not mount
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryDirectory folder_;
  bool mounted_ = false;
};

inline constexpr const char* no_small_disk = "mounting a small disk requires the rights of root";

}  // namespace masformer::test
