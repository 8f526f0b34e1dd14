// The messages with which the program refuses options or input, and those of other errors.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace masformer::test {

// The message of the `Thrown` that `act` throws; empty if it throws none.
template <class Thrown, class Act>
std::string message_thrown(const Act& act) {
  try {
    act();
  } catch (const Thrown& error) {
    return error.what();
  }
  return {};
}

template <class Act>
std::string refusal(const Act& act) {
  return message_thrown<UsageError>(act);
}

template <class Act>
std::string error_of(const Act& act) {
  return message_thrown<Error>(act);
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace masformer::test
