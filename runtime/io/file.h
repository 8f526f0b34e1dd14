// Files that must be complete and durable: a descriptor with one owner, fsync, errors with a
// remedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "runtime/error.h"

namespace masformer::io {

// A system call that failed on a file, with its errno.
class SystemError : public Error {
 public:
  SystemError(const std::string& message, int code) : Error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// Owns an open file, or nothing. Every failure is an Error that names the file and the system's
// reason.
class File {
 public:
  File() = default;  // holds nothing
  // `flags` as for open(2). A new file has the permissions that the umask leaves.
  File(std::filesystem::path path, int flags);
  ~File() { close(); }
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::int64_t bytes() const;  // the file's size

  // Reads bytes [offset, offset + out.size()). Several threads may call it at once. Throws Error if
  // the file ends earlier.
  void read_at(std::int64_t offset, std::span<std::byte> out) const;
  // Reads up to out.size() bytes from where the last read_next() ended, from pipes, too. Returns
  // how many; 0 at the end.
  std::size_t read_next(std::span<std::byte> out);
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  void start_sync() const;  // a hint: the system begins to write dirty pages
  void sync() const;        // returns when the contents are durable

 private:
  void close() noexcept;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Opens a path that the user gave. Throws UsageError if that fails.
File open_or_refuse(std::filesystem::path path, int flags);

std::string read_text(const std::filesystem::path& path);
// Returns when the text and the file's length are durable. The folder's entry is not:
// sync_folder().
void write_text_durably(const std::filesystem::path& path, std::string_view text);

// Makes a folder's entries durable: files created, renamed, removed. An empty path is the working
// folder.
void sync_folder(const std::filesystem::path& folder);
// Creates a folder and those above it, durably.
void create_folder(const std::filesystem::path& folder);

// Throws SystemError: "can't <action> <path>: <text of the errno><detail>: <remedy>".
[[noreturn]] void fail_for_errno(std::string_view action, const std::filesystem::path& path,
                                 int error, std::string_view detail = "");

}  // namespace masformer::io
