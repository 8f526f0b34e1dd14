// RUN_DIR: who may write there, and what becomes of what stands there already.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/io/file.h"

namespace masformer {

// One job at a time works in a run's folder. Held by rank 0.
class RunDirectory {
 public:
  // Creates the folder and locks it. Throws UsageError where it can't be written, or another job
  // holds it.
  explicit RunDirectory(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  // Renames what a run here left after `step` to names that no run looks at: checkpoints become
  // set-aside-N-step-*; from step 0, metrics become set-aside-N-metrics.jsonl. Returns
  // "set-aside-N", or "" where there was nothing.
  std::string set_aside_after(std::int64_t step) const;

 private:
  void open_writable();  // creates the folder and what the lock is on

  std::filesystem::path path_;
  io::File lock_;
};

}  // namespace masformer
