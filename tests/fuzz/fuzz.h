// What the fuzz targets share. A target is one function; libFuzzer calls it with inputs of its own
// making (./test --fuzz), and replay_main.cpp with those of corpus/, in every run of the suite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <type_traits>

#include "runtime/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace masformer::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Ends the program where `holds` is false, for then the fuzzer keeps the input.
inline void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// What `parse` returns; nothing if it refuses by an Error. Other exceptions are not caught, and
// so end the program.
template <class Parse>
std::optional<std::invoke_result_t<Parse>> accepted(Parse parse) {
  try {
    return parse();
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace masformer::fuzz
