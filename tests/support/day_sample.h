// For tests with many cases: selects a few of them, others every day; on demand more, or all.
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

// Draws `usual` cases, chosen by `seed`. The environment variable `variable` may set another
// number, or "all", which returns all cases in their order.
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
