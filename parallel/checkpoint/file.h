// Files that must be durable and whole: descriptors, digests, fsync, messages with a remedy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace masformer::checkpoint {

// An open file, closed at the end of its owner.
class FileDescriptor {
 public:
  // `flags` as open(2) takes them. Throws Error.
  FileDescriptor(std::filesystem::path path, int flags);
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }
  std::int64_t bytes() const;
  void start_sync() const;  // a hint: the system begins to write what it holds back
  void sync() const;        // returns when the contents are durable

 private:
  std::filesystem::path path_;
  int descriptor_;
};

// XXH3-128 in 32 lower-case hexadecimal digits, the high 64 bits first.
std::string digest_of(std::string_view bytes);
std::string digest_of(const FileDescriptor& file);  // streamed; the offset is left alone

std::string read_text(const std::filesystem::path& path);
// Returns when the text and the file's length are durable; the folder's entry is not yet.
void write_text_durably(const std::filesystem::path& path, std::string_view text);

// Makes entries of a folder durable: files created, renamed, removed in it.
void sync_folder(const std::filesystem::path& folder);
// Creates a folder and those above it, durably.
void create_folder(const std::filesystem::path& folder);

// Throws Error: "can't <action> <path>: <errno's text><detail>: <remedy>".
[[noreturn]] void fail_for_errno(std::string_view action, const std::filesystem::path& path,
                                 int error, std::string_view detail = "");

}  // namespace masformer::checkpoint
