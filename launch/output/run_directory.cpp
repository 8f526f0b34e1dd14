#include "launch/output/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "parallel/checkpoint/checkpoint.h"
#include "runtime/error.h"

namespace masformer {
namespace fs = std::filesystem;

namespace {

// Whether `folder` holds a file or folder whose name begins with `beginning`.
bool holds(const fs::path& folder, const std::string& beginning) {
  const auto begins = [&](const fs::directory_entry& entry) {
    return entry.path().filename().string().starts_with(beginning);
  };
  return std::any_of(fs::directory_iterator(folder), fs::directory_iterator(), begins);
}

}  // namespace

RunDirectory::RunDirectory(fs::path path) : path_(std::move(path)) {
  try {
    open_writable();
  } catch (const Error& error) {
    refuse("run.dir={} can't be written: {}", path_.string(), error.what());
  }
  if (flock(lock_.descriptor(), LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  if (error == EWOULDBLOCK) {
    refuse("run.dir={} is in use by another job: stop that job, or choose another folder",
           path_.string());
  }
  refuse("run.dir={} can't be locked: {}: choose a folder on a file system that supports locks",
         path_.string(), std::generic_category().message(error));
}

void RunDirectory::open_writable() {
  const fs::path checkpoints = path_ / "checkpoints";
  io::create_folder(checkpoints);
  const io::File probe(checkpoints / ".probe", O_RDWR | O_CREAT);
  std::error_code ignored;
  fs::remove(checkpoints / ".probe", ignored);
  lock_ = io::File(path_ / ".lock", O_RDWR | O_CREAT);
}

std::string RunDirectory::set_aside_after(std::int64_t step) const {
  bool any = false;
  int number = 1;
  const auto name = [&](const std::string& rest) {
    return fmt::format("set-aside-{}-{}", number, rest);
  };
  while (holds(path_, name("")) || holds(path_ / "checkpoints", name(""))) ++number;
  for (const auto& [at, directory] : list_checkpoints(path_)) {
    if (at <= step) continue;
    fs::rename(directory, directory.parent_path() / name(directory.filename().string()));
    any = true;
  }
  for (const fs::path& file : {metrics(), tensorboard()}) {
    if (step > 0 || !fs::exists(file)) continue;
    fs::rename(file, path_ / name(file.filename().string()));
    any = true;
  }
  return any ? fmt::format("set-aside-{}", number) : "";
}

}  // namespace masformer
