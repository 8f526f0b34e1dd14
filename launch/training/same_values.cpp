#include "launch/training/same_values.h"

#include <algorithm>
#include <cstddef>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/host_memory.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"

namespace masformer {
namespace {

constexpr std::size_t long_value = 60, before_difference = 20;  // characters

// The value, or if it is long, what stands around the place where two values begin to differ.
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

}  // namespace

void require_same_values(Communicator& world, const NamedValues& own, std::string_view remedy) {
  const auto digests = all_gather_json(world, io::digest_of(json_line(own)));
  if (std::ranges::count(digests, digests[0]) == world.size()) return;
  const auto all = all_gather_json(world, world.rank() == 0 ? nlohmann::json(own) : nullptr);
  run_collectively(world, [&] {
    if (digests[static_cast<std::size_t>(world.rank())] == digests[0]) return;
    std::map<std::string, std::string> first;
    for (const nlohmann::json& pair : all[0]) first[pair[0]] = pair[1];
    std::vector<std::string> lines;
    for (const auto& [name, value] : own) {
      const auto known = first.extract(name);
      const std::string other = known ? known.mapped() : "nothing";
      if (other != value) lines.push_back(difference_line(name, value, other));
    }
    for (const auto& [name, value] : first) {
      lines.push_back(difference_line(name, "nothing", value));
    }
    refuse("on host {}, {}: {}", host_name(), fmt::join(lines, "\n"), remedy);
  });
}

}  // namespace masformer
