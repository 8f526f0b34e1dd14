#include "parallel/checkpoint/file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>
#include <xxhash.h>

#include "runtime/error.h"

namespace masformer::checkpoint {
namespace {

constexpr std::size_t block_bytes = std::size_t{1} << 20;

std::string_view remedy_for(int error) {
  switch (error) {
    case ENOSPC:
      return ": free some space, or choose a folder on another disk";
    case EDQUOT:
      return ": free some space, or have the quota raised";
    case EFBIG:
      return ": raise the limit on file sizes (ulimit -f)";
    case EROFS:
    case EACCES:
    case EPERM:
      return ": choose a folder that this user can write";
    case ENOTDIR:
    case EEXIST:
      return ": choose another folder, or move the file away that stands in its path";
    default:
      return "";
  }
}

std::string hexadecimal(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// Reads up to block_bytes at `offset`; 0 at the end of the file.
std::size_t read_block(const FileDescriptor& file, char* block, std::int64_t offset) {
  ssize_t count = 0;
  do {
    count = pread(file.get(), block, block_bytes, offset);
  } while (count < 0 && errno == EINTR);
  if (count < 0) fail_for_errno("read", file.path(), errno);
  return static_cast<std::size_t>(count);
}

template <class Visit>
void for_each_block(const FileDescriptor& file, Visit visit) {
  const auto block = std::make_unique_for_overwrite<char[]>(block_bytes);
  std::int64_t offset = 0;
  while (const std::size_t count = read_block(file, block.get(), offset)) {
    visit(block.get(), count);
    offset += static_cast<std::int64_t>(count);
  }
}

}  // namespace

FileDescriptor::FileDescriptor(std::filesystem::path path, int flags)
    : path_(std::move(path)), descriptor_(open(path_.c_str(), flags | O_CLOEXEC, 0666)) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (descriptor_ < 0) fail_for_errno(writes ? "create" : "open", path_, errno);
}

FileDescriptor::~FileDescriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::int64_t FileDescriptor::bytes() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail_for_errno("examine", path_, errno);
  return status.st_size;
}

void FileDescriptor::start_sync() const {
  sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void FileDescriptor::sync() const {
  if (fsync(descriptor_) != 0) fail_for_errno("write", path_, errno);
}

std::string digest_of(std::string_view bytes) {
  return hexadecimal(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string digest_of(const FileDescriptor& file) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  require(state != nullptr, "no memory for the digest of {}", file.path().string());
  XXH3_128bits_reset(state.get());
  for_each_block(file, [&](const char* block, std::size_t count) {
    XXH3_128bits_update(state.get(), block, count);
  });
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

std::string read_text(const std::filesystem::path& path) {
  const FileDescriptor file(path, O_RDONLY);
  std::string text;
  for_each_block(file, [&](const char* block, std::size_t count) { text.append(block, count); });
  return text;
}

void write_text_durably(const std::filesystem::path& path, std::string_view text) {
  const FileDescriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  while (!text.empty()) {
    const ssize_t count = write(file.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_for_errno("write", path, errno);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  file.sync();
}

void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  // Some network file systems can't sync folders, and make their entries durable at once.
  if (fsync(descriptor.get()) != 0 && errno != EINVAL) fail_for_errno("write", folder, errno);
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::is_directory(folder, ignored)) return;
  const std::filesystem::path parent = folder.parent_path();
  if (parent != folder && !parent.empty()) create_folder(parent);
  if (mkdir(folder.c_str(), 0777) != 0) fail_for_errno("create", folder, errno);
  if (!parent.empty()) sync_folder(parent);
}

void fail_for_errno(std::string_view action, const std::filesystem::path& path, int error,
                    std::string_view detail) {
  fail("can't {} {}: {}{}{}", action, path.string(), std::generic_category().message(error), detail,
       remedy_for(error));
}

}  // namespace masformer::checkpoint
