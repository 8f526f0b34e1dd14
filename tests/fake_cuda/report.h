// Reports misuse of CUDA that a device would answer with wrong results, a hang, or not at all.
#pragma once

#include <utility>

#include <fmt/format.h>

#include "tests/fake_cuda/include/fake_cuda/builtin.h"

namespace fake_cuda {

// Writes the message to standard error and aborts.
[[noreturn]] void stop_program(const std::string& message);

template <class... Args>
[[noreturn]] void report(fmt::format_string<Args...> format, Args&&... args) {
  stop_program(fmt::format(format, std::forward<Args>(args)...));
}

std::string to_string(const Site& site);
std::string to_string(const uint3& index);

}  // namespace fake_cuda
