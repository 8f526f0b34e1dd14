// Tests of many cases go through a few of them each day; on demand through more, or through all.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "runtime/random.h"

namespace masformer::test {

// Days since 1970: the seed of the day's sample.
inline std::uint64_t today() {
  const auto day = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<std::uint64_t>(day.time_since_epoch().count());
}

// `usual` of the cases, drawn by `seed`; as many as the environment's `variable` says instead, or
// in their order all, where it says "all".
template <class Case>
std::vector<Case> sample(std::vector<Case> all, const char* variable, std::size_t usual,
                         std::uint64_t seed) {
  const char* const wanted = std::getenv(variable);
  const std::string text = wanted == nullptr ? std::to_string(usual) : wanted;
  if (text == "all") return all;
  const std::size_t count = std::min<std::size_t>(std::stoul(text), all.size());
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(all[i], all[i + mix(seed, i) % (all.size() - i)]);
  }
  all.resize(count);
  return all;
}

}  // namespace masformer::test
