#include "runtime/io/file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "runtime/error.h"

namespace masformer::io {
namespace {

namespace fs = std::filesystem;

std::string_view remedy_for(std::string_view action, int error) {
  const bool reads = action == "open" || action == "read";
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
      return reads ? ": let this user read it" : ": choose a folder that this user can write";
    case ENOTDIR:
    case EEXIST:
      return ": choose another folder, or move away the file that is in its path";
    default:
      return "";
  }
}

// The action that failed if a file cannot be opened with these flags.
std::string_view action_of(int flags) {
  if ((flags & O_CREAT) != 0) return "create";
  return (flags & O_ACCMODE) == O_RDONLY ? "open" : "write";
}

// Repeats a system call that a signal interrupted.
template <class Call>
ssize_t uninterrupted(Call call) {
  ssize_t result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

File::File(fs::path path, int flags) : path_(std::move(path)) {
  constexpr mode_t rights = 0666;
  descriptor_ = static_cast<int>(
      uninterrupted([&] { return ::open(path_.c_str(), flags | O_CLOEXEC, rights); }));
  if (descriptor_ < 0) fail_for_errno(action_of(flags), path_, errno);
}

File::File(File&& other) noexcept
    : path_(std::exchange(other.path_, {})), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::exchange(other.path_, {});
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void File::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

std::int64_t File::bytes() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail_for_errno("read", path_, errno);
  return status.st_size;
}

void File::read_at(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got =
        uninterrupted([&] { return ::pread(descriptor_, out.data(), out.size(), offset); });
    if (got < 0) fail_for_errno("read", path_, errno, fmt::format(" at byte {}", offset));
    if (got == 0) fail("{} ends at byte {}: it was cut off", path_.string(), offset);
    out = out.subspan(static_cast<std::size_t>(got));
    offset += got;
  }
}

std::size_t File::read_next(std::span<std::byte> out) {
  const ssize_t got = uninterrupted([&] { return ::read(descriptor_, out.data(), out.size()); });
  if (got < 0) fail_for_errno("read", path_, errno);
  return static_cast<std::size_t>(got);
}

void File::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put =
        uninterrupted([&] { return ::pwrite(descriptor_, bytes.data(), bytes.size(), offset); });
    if (put <= 0) fail_for_errno("write", path_, put < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += put;
  }
}

void File::start_sync() const {
  ::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void File::sync() const {
  if (uninterrupted([&] { return ::fsync(descriptor_); }) == 0) return;
  // Some network file systems cannot sync folders; their entries are durable at once.
  const int error = errno;
  if (error != EINVAL || !fs::is_directory(path_)) fail_for_errno("write", path_, error);
}

File open_or_refuse(fs::path path, int flags) {
  try {
    return {std::move(path), flags};
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

std::string read_text(const fs::path& path) {
  const File file(path, O_RDONLY);
  std::string text(static_cast<std::size_t>(file.bytes()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text_durably(const fs::path& path, std::string_view text) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.sync();
}

void sync_folder(const fs::path& folder) {
  File(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY).sync();
}

void create_folder(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return;
  const fs::path parent = folder.parent_path();
  if (!parent.empty()) create_folder(parent);
  const int error = ::mkdir(folder.c_str(), 0777) == 0 ? 0 : errno;
  // "a/" and "a/.." exist once "a" does.
  if (error != 0 && !fs::is_directory(folder, ignored)) fail_for_errno("create", folder, error);
  sync_folder(parent);
}

void fail_for_errno(std::string_view action, const fs::path& path, int error,
                    std::string_view detail) {
  throw SystemError(
      fmt::format("can't {} {}: {}{}{}", action, path.string(),
                  std::generic_category().message(error), detail, remedy_for(action, error)),
      error);
}

}  // namespace masformer::io
