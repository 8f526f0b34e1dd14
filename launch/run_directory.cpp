#include "launch/run_directory.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "parallel/checkpoint/checkpoint.h"
#include "runtime/error.h"

namespace masformer {
namespace fs = std::filesystem;

RunDirectory::RunDirectory(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_ / "checkpoints", error);
  if (error) refuse("run.dir={} can't be written: {}", path_.string(), error.message());
  const fs::path probe = path_ / "checkpoints" / ".probe";
  const int written = open(probe.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (written < 0) {
    refuse("{} can't be written: {}", probe.parent_path().string(), std::strerror(errno));
  }
  close(written);
  fs::remove(probe, error);
  const fs::path file = path_ / ".lock";
  lock_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) refuse("run.dir={} can't be written: {}", path_.string(), std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    refuse("run.dir={} is in use by another job: stop that one, or choose another folder",
           path_.string());
  }
}

RunDirectory::~RunDirectory() {
  close(lock_);
}

bool RunDirectory::set_aside_after(std::int64_t step) const {
  bool any = false;
  int number = 1;
  const auto name = [&](const std::string& rest) {
    return fmt::format("set-aside-{}-{}", number, rest);
  };
  const auto checkpoints = list_checkpoints(path_);
  const auto taken = [&] {
    for (const auto& [at, directory] : checkpoints) {
      const std::string file = directory.filename().string();
      if (fs::exists(directory.parent_path() / name(file))) return true;
    }
    return fs::exists(path_ / name("metrics.jsonl"));
  };
  while (taken()) ++number;
  for (const auto& [at, directory] : checkpoints) {
    if (at <= step) continue;
    fs::rename(directory, directory.parent_path() / name(directory.filename().string()));
    any = true;
  }
  if (step == 0 && fs::exists(metrics())) {
    fs::rename(metrics(), path_ / name("metrics.jsonl"));
    any = true;
  }
  return any;
}

}  // namespace masformer
