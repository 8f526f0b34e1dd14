#include "data/file.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "runtime/error.h"

namespace masformer::data {
namespace {

std::string reason() {
  return std::generic_category().message(errno);
}

// Repeats a system call that a signal interrupted.
template <class Call>
ssize_t uninterrupted(Call call) {
  ssize_t result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

File::File(std::filesystem::path path, int flags) : path_(std::move(path)) {
  constexpr mode_t rights = 0666;
  descriptor_ = static_cast<int>(
      uninterrupted([&] { return ::open(path_.c_str(), flags | O_CLOEXEC, rights); }));
  if (descriptor_ < 0) refuse("can't open {}: {}", path_.string(), reason());
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

std::int64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail("can't read {}: {}", path_.string(), reason());
  return status.st_size;
}

void File::read_at(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got =
        uninterrupted([&] { return ::pread(descriptor_, out.data(), out.size(), offset); });
    if (got < 0) fail("can't read {} at byte {}: {}", path_.string(), offset, reason());
    if (got == 0) fail("{} ends at byte {}: it was cut off", path_.string(), offset);
    out = out.subspan(static_cast<std::size_t>(got));
    offset += got;
  }
}

std::size_t File::read_next(std::span<std::byte> out) {
  const ssize_t got = uninterrupted([&] { return ::read(descriptor_, out.data(), out.size()); });
  if (got < 0) fail("can't read {}: {}", path_.string(), reason());
  return static_cast<std::size_t>(got);
}

void File::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put =
        uninterrupted([&] { return ::pwrite(descriptor_, bytes.data(), bytes.size(), offset); });
    if (put < 0) fail("can't write {}: {}", path_.string(), reason());
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += put;
  }
}

void File::sync() {
  if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0) {
    fail("can't write {}: {}", path_.string(), reason());
  }
}

void sync_folder(const std::filesystem::path& folder) {
  File(folder, O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace masformer::data
