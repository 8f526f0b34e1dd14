// A file descriptor with one owner. Every failure names the file and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace masformer::data {

class File {
 public:
  File() = default;  // holds nothing
  // As open(2), new files with the rights that the umask leaves. Throws UsageError.
  File(std::filesystem::path path, int flags);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::int64_t size() const;  // bytes

  // Bytes [offset, offset + out.size()); may be called from several threads. Throws Error where
  // the file ends before.
  void read_at(std::int64_t offset, std::span<std::byte> out) const;
  // Up to out.size() bytes from where the last read ended; 0 at the end of the file.
  std::size_t read_next(std::span<std::byte> out);
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  // Returns when all that was written is durable.
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Makes a rename within `folder` durable.
void sync_folder(const std::filesystem::path& folder);

}  // namespace masformer::data
