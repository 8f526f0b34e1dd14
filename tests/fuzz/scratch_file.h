// A file by itself, gone with the object. (One in memory alone has no path that HDF5 takes.)
#pragma once

#include <cerrno>
#include <filesystem>
#include <span>
#include <stdlib.h>  // mkstemp: POSIX, not in <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace masformer::fuzz {

class ScratchFile {
 public:
  ScratchFile() : path_(std::filesystem::temp_directory_path() / "masformer-fuzz-XXXXXX") {
    descriptor_ = mkstemp(path_.data());
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), path_);
  }
  explicit ScratchFile(std::string_view content) : ScratchFile() {
    write_at(0, std::as_bytes(std::span(content)));
  }
  ~ScratchFile() {
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  void write_at(off_t offset, std::span<const std::byte> bytes) const {
    if (::pwrite(descriptor_, bytes.data(), bytes.size(), offset) !=
        static_cast<ssize_t>(bytes.size())) {
      throw std::system_error(errno, std::generic_category(), "can't write " + path_);
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace masformer::fuzz
