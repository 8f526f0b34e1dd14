#include "model/violations.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace masformer {
namespace {

// The divisors that a message offers to the user.
std::vector<std::int64_t> small_divisors(std::int64_t number) {
  constexpr std::int64_t largest = 64;
  std::vector<std::int64_t> found;
  for (std::int64_t candidate = 1; candidate <= std::min(number, largest); ++candidate) {
    if (number % candidate == 0) found.push_back(candidate);
  }
  return found;
}

}  // namespace

void Violations::add(std::string violation) {
  if (std::ranges::find(all_, violation) == all_.end()) all_.push_back(std::move(violation));
}

void Violations::check_positive(std::string_view name, std::int64_t value) {
  if (value < 1) add(fmt::format("{}={} must be at least 1", name, value));
}

void Violations::check_divides(std::string_view divisor_name, std::int64_t divisor,
                               std::string_view name, std::int64_t extent) {
  if (divisor < 1 || extent < 1 || extent % divisor == 0) return;
  const std::vector<std::int64_t> divisors = small_divisors(extent);
  add(fmt::format("{}={} does not divide {}={}: {} {}", divisor_name, divisor, name, extent,
                  divisors.size() == 1 ? "only possible is" : "pick one of",
                  fmt::join(divisors, ", ")));
}

}  // namespace masformer
