#include "launch/training/same_values.h"

#include <algorithm>
#include <cstddef>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"

namespace masformer {
namespace {

using ValueOfName = std::map<std::string, std::string>;

constexpr std::size_t long_value = 60, before_difference = 20;  // characters
constexpr std::size_t most_lines = 5;

// The value, or if it is long, what is around the place where two values begin to differ.
std::string excerpt(const std::string& value, std::size_t difference) {
  if (value.size() <= long_value) return value;
  const std::size_t begin = difference - std::min(difference, before_difference);
  return fmt::format("{}{}{}", begin > 0 ? "..." : "", value.substr(begin, long_value),
                     begin + long_value < value.size() ? "..." : "");
}

std::string difference_line(const std::string& name, const std::string& own,
                            const std::string& first) {
  const auto at = static_cast<std::size_t>(std::ranges::mismatch(own, first).in1 - own.begin());
  return fmt::format("{}={} here, but {} on rank 0", name, excerpt(own, at), excerpt(first, at));
}

std::vector<std::string> difference_lines(const NamedValues& own, ValueOfName first) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : own) {
    const auto known = first.extract(name);
    if (!known) {
      lines.push_back(fmt::format("{}={} here, but nothing on rank 0", name, value));
    } else if (known.mapped() != value) {
      lines.push_back(difference_line(name, value, known.mapped()));
    }
  }
  for (const auto& [name, value] : first) {
    lines.push_back(fmt::format("{}={} on rank 0, but nothing here", name, value));
  }
  return lines;
}

}  // namespace

void require_same_values(Communicator& world, const NamedValues& own, std::string_view remedy) {
  const ValueOfName sorted(own.begin(), own.end());
  require(sorted.size() == own.size(), "two values have the same name");
  const auto digests = all_gather_json(world, io::digest_of(json_line(sorted)));
  if (std::ranges::count(digests, digests[0]) == world.size()) return;
  const auto all = all_gather_json(world, world.rank() == 0 ? nlohmann::json(sorted) : nullptr);
  run_collectively(world, [&] {
    std::vector<std::string> lines = difference_lines(own, all[0].get<ValueOfName>());
    if (lines.empty()) return;
    if (lines.size() > most_lines) {
      const std::size_t left_out = lines.size() - most_lines;
      lines.resize(most_lines);
      lines.push_back(fmt::format("and {} more", left_out));
    }
    refuse("{}: {}", fmt::join(lines, "\n"), remedy);
  });
}

}  // namespace masformer
