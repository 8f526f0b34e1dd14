#include "launch/plan/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace masformer {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

// Reads the number in a file. Returns nothing if the file is missing or holds "max".
std::optional<std::int64_t> number_in(const fs::path& path) {
  std::int64_t number = 0;
  if (std::ifstream(path) >> number) return number;
  return std::nullopt;
}

// Reads the number that follows `word` at the start of a line, as in "MemAvailable: 1234 kB" or
// "inactive_file 1234".
std::optional<std::int64_t> number_behind(const fs::path& path, const std::string& word) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(word)) return std::stoll(line.substr(word.size()));
  }
  return std::nullopt;
}

// The bytes that a control group may still allocate. Its cached file pages count as free.
std::int64_t left_in_group(const fs::path& group) {
  const auto limit = number_in(group / "memory.max");
  const auto used = number_in(group / "memory.current");
  if (!limit || !used) return unlimited;
  const std::int64_t droppable = number_behind(group / "memory.stat", "inactive_file ").value_or(0);
  return std::max<std::int64_t>(*limit - *used + droppable, 0);
}

// The bytes that this process may still allocate: the minimum over its control group and that
// group's ancestors (cgroup v2).
std::int64_t left_in_groups(const fs::path& system) {
  std::ifstream file(system / "proc/self/cgroup");
  std::string line;
  while (std::getline(file, line) && !line.starts_with("0::/")) {
  }
  if (!line.starts_with("0::/")) return unlimited;
  const fs::path top = system / "sys/fs/cgroup";
  std::int64_t left = unlimited;
  for (fs::path group = line.substr(4);; group = group.parent_path()) {
    left = std::min(left, left_in_group(top / group));
    if (group.empty()) return left;
  }
}

}  // namespace

std::int64_t available_host_memory(const fs::path& system) {
  const auto kibibytes = number_behind(system / "proc/meminfo", "MemAvailable:");
  return std::min(kibibytes ? *kibibytes * 1024 : unlimited, left_in_groups(system));
}

std::string memory_shortage(const std::vector<MemoryDemand>& ranks, const std::string& place,
                            bool recomputable) {
  constexpr double gib = 1 << 30;
  std::int64_t planned = 0;
  std::int64_t available = unlimited;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const MemoryDemand& rank = ranks[i];
    if (rank.place != place) continue;
    if (__builtin_add_overflow(planned, rank.planned, &planned)) planned = unlimited;
    available = std::min(available, rank.available);
    names.push_back(fmt::format("rank {} of stage {}", i, rank.stage));
  }
  if (planned <= available) return "";
  constexpr std::size_t few = 4;
  const std::size_t count = names.size();
  if (count > few) {
    names.resize(few);
    names.emplace_back("...");
  }
  return fmt::format(
      "the {} on {} ({}) would take {:.2f} GiB of memory, but only {:.2f} GiB are available: use "
      "more machines and raise parallel.tensor, parallel.pipeline or parallel.context, {}lower "
      "train.micro_batch or train.sequence, or make the model smaller",
      count == 1 ? "rank" : fmt::format("{} ranks", count), place, fmt::join(names, ", "),
      double(planned) / gib, double(available) / gib, recomputable ? "set train.recompute, " : "");
}

std::string out_of_memory(const std::string& place) {
  return fmt::format(
      "out of memory on {}: {:.2f} GiB are available there; leave the ranks more, by another "
      "layout or a smaller train.micro_batch, or raise the limit of the process (ulimit -v)",
      place, double(available_host_memory()) / (1 << 30));
}

}  // namespace masformer
