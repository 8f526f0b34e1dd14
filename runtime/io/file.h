// Files that must be whole and durable: a descriptor with one owner, fsync, messages with a remedy.
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

// An open file, or none. Every failure is an Error that names the file and the system's reason.
class File {
 public:
  File() = default;  // holds nothing
  // `flags` as open(2) takes them; a new file has the rights that the umask leaves.
  File(std::filesystem::path path, int flags);
  ~File() { close(); }
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::int64_t bytes() const;  // the file's size

  // Bytes [offset, offset + out.size()); may be called from several threads. Throws Error where
  // the file ends before.
  void read_at(std::int64_t offset, std::span<std::byte> out) const;
  // Up to out.size() bytes from where the last read_next() ended, of pipes, too; 0 at the end.
  std::size_t read_next(std::span<std::byte> out);
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  void start_sync() const;  // a hint: the system begins to write what it holds back
  void sync() const;        // returns when the contents are durable

 private:
  void close() noexcept;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The same for a path that the user gave: where it can't be opened, throws UsageError.
File open_or_refuse(std::filesystem::path path, int flags);

std::string read_text(const std::filesystem::path& path);
// Returns when the text and the file's length are durable; the folder's entry is not yet.
void write_text_durably(const std::filesystem::path& path, std::string_view text);

// Makes entries of a folder (empty: the working one) durable: files created, renamed, removed.
void sync_folder(const std::filesystem::path& folder);
// Creates a folder and those above it, durably.
void create_folder(const std::filesystem::path& folder);

// Throws SystemError: "can't <action> <path>: <errno's text><detail>: <remedy>".
[[noreturn]] void fail_for_errno(std::string_view action, const std::filesystem::path& path,
                                 int error, std::string_view detail = "");

}  // namespace masformer::io
