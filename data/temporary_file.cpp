#include "data/temporary_file.h"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "runtime/error.h"

namespace masformer::data {
namespace {

namespace fs = std::filesystem;

std::string prefix_of(const fs::path& store) {
  return fmt::format(".{}.writing-", store.filename().string());
}

// The process in a temporary file's name; none in other names.
std::optional<pid_t> process_of(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  pid_t process = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, process);
  if (parsed.ec != std::errc() || parsed.ptr != end || process <= 0) return std::nullopt;
  return process;
}

bool is_abandoned(const fs::path& file, pid_t process) {
  if (kill(process, 0) == 0 || errno != ESRCH) return false;
  try {
    const io::File opened(file, O_RDONLY);
    return flock(opened.descriptor(), LOCK_EX | LOCK_NB) == 0;
  } catch (const Error&) {
    return false;
  }
}

// Whether `name` still names the open file: its owner may have renamed it before this process
// locked it.
bool is_file_of(const io::File& file, const fs::path& name) {
  struct stat opened {
  }, named{};
  return fstat(file.descriptor(), &opened) == 0 && stat(name.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path temporary_name(const fs::path& store) {
  return folder_of(store) / (prefix_of(store) + std::to_string(::getpid()));
}

void remove_abandoned(const fs::path& store) {
  const std::string prefix = prefix_of(store);
  std::error_code error;
  fs::directory_iterator entries(folder_of(store), error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& file = entries->path();
    const auto process = process_of(file.filename().string(), prefix);
    std::error_code ignored;
    if (process && is_abandoned(file, *process)) fs::remove(file, ignored);
  }
}

io::File open_temporary(const fs::path& name) {
  for (;;) {
    io::File file = io::open_or_refuse(name, O_RDWR | O_CREAT);
    if (flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      refuse(
          "{} is in use by another process {}, of another container or host: wait until it has "
          "ended, or write another file",
          name.string(), ::getpid());
    }
    if (!is_file_of(file, name)) continue;
    if (ftruncate(file.descriptor(), 0) != 0) io::fail_for_errno("write", name, errno);
    return file;
  }
}

HeldSignals::HeldSignals() {
  sigemptyset(&held_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    // An ignored signal would stay pending while it is blocked, and pass for one that came.
    const bool known = sigaction(signal, nullptr, &action) == 0;
    if (known && action.sa_handler != SIG_IGN) sigaddset(&held_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &held_, &before_);
}

HeldSignals::~HeldSignals() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool HeldSignals::any() const {
  sigset_t pending;
  sigpending(&pending);
  sigset_t both;
  sigandset(&both, &pending, &held_);
  return sigisemptyset(&both) == 0;
}

}  // namespace masformer::data
