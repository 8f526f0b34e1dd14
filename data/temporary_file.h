// The file that a store is written to until it is complete: .NAME.writing-PID beside its place.
#pragma once

#include <csignal>
#include <filesystem>

#include "runtime/io/file.h"

namespace masformer::data {

std::filesystem::path folder_of(const std::filesystem::path& path);

// The name for this process.
std::filesystem::path temporary_name(const std::filesystem::path& store);

// Removes the temporary files of `store` that ended processes left: no process here has the number,
// and none, here or on another host of a shared folder, holds the lock that open_temporary() takes.
void remove_abandoned(const std::filesystem::path& store);
// Opens the file `name`, empties it, and locks it until it is closed. If another process has locked
// it, throws UsageError and leaves it unchanged: processes in two containers, or on two hosts with
// a shared folder, may have the same process number. On a file system without locks they
// can't be told apart.
io::File open_temporary(const std::filesystem::path& name);

// While one lives, SIGINT, SIGTERM and SIGHUP wait: whoever asks any() can remove a temporary file
// first. Afterwards they act on this thread as before. A signal that the process ignores stays
// ignored.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  bool any() const;  // whether one has come

 private:
  sigset_t held_{};
  sigset_t before_{};
};

}  // namespace masformer::data
