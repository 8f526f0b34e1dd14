// RUN_DIR: locks it, and sets aside the files of an earlier run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/io/file.h"

namespace masformer {

// Makes sure that only one job at a time uses a run's folder. Rank 0 owns it.
class RunDirectory {
 public:
  // Creates the folder and locks it until the object ends. Throws UsageError if it can't be
  // written, or if another job has locked it.
  explicit RunDirectory(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path events() const { return path_ / "events.jsonl"; }
  std::filesystem::path tensorboard() const { return path_ / "tensorboard"; }

  // Renames what an earlier run left beyond `step`, so that no run reads it: checkpoints become
  // set-aside-N-step-*; if `step` is 0, metrics.jsonl becomes set-aside-N-metrics.jsonl, and
  // tensorboard set-aside-N-tensorboard. Returns "set-aside-N", or "" if nothing was renamed.
  std::string set_aside_after(std::int64_t step) const;

 private:
  void open_writable();  // creates the folder and the file that is locked

  std::filesystem::path path_;
  io::File lock_;
};

}  // namespace masformer
