// Errors that a person reads. Every message gives the values, and what to do about them.
#pragma once

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace masformer {

// The program's exit status. Other tools rely on the numbers.
enum class ExitCode : int {
  done = 0,
  failure = 1,      // something broke while the program worked
  unusable = 2,     // options or input can't be used; nothing was trained
  interrupted = 3,  // stopped by a signal, after a clean checkpoint or before the first step
};

// A failure while working: a full disk, a damaged checkpoint. Ends the program with `failure`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Options or input that can't be used. Ends the program with `unusable`.
class UsageError : public Error {
 public:
  using Error::Error;
};

// An Error that all ranks of a job throw alike, so that one may report it for all and none needs
// to be torn down.
class AgreedError : public Error {
 public:
  using Error::Error;
};

// The same for what can't be used.
class AgreedUsageError : public UsageError {
 public:
  using UsageError::UsageError;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

// A broken promise between two parts of the program. Throws Error; kept in release builds.
template <class... Args>
void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) fail(format, std::forward<Args>(args)...);
}

}  // namespace masformer
