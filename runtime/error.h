// Errors for people to read. Every message gives the values, and says what to do about them.
#pragma once

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace masformer {

// The program's exit status. Other tools rely on the numbers.
enum class ExitCode : int {
  done = 0,
  failure = 1,      // something failed while the program ran
  unusable = 2,     // unusable options or input; nothing was trained
  interrupted = 3,  // stopped by a signal, after a clean checkpoint or before the first step
};

// A failure at run time: a full disk, a damaged checkpoint. Ends the program with `failure`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Unusable options or input. Ends the program with `unusable`.
class UsageError : public Error {
 public:
  using Error::Error;
};

// An Error that all ranks of a job throw at the same point, so that one rank reports it for all and
// the job ends without an abort.
class AgreedError : public Error {
 public:
  using Error::Error;
};

// A UsageError that all ranks throw at the same point.
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

// Checks a contract between parts of the program. Throws Error if it does not hold, in release
// builds, too.
template <class... Args>
void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) fail(format, std::forward<Args>(args)...);
}

}  // namespace masformer
