#include "launch/plan/threads.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "launch/options/limits.h"
#include "runtime/counted.h"
#include "runtime/error.h"
#include "runtime/repeated_list.h"
#include "runtime/trimmed.h"

namespace masformer {
namespace {

// The number for the outermost parallel region: the first of a list such as "4,2". Returns nothing
// for an empty text.
std::optional<std::int64_t> parse_omp_num_threads(std::string_view text) {
  if (trimmed(text).empty()) return std::nullopt;
  const auto number = parse_count(trimmed(text.substr(0, text.find(','))));
  if (!number || *number > limits::threads) {
    refuse(
        "OMP_NUM_THREADS={} is not a number of threads from 1 to {}: change it, unset it, or set "
        "runtime.threads",
        text, limits::threads);
  }
  return number;
}

}  // namespace

int choose_threads(std::int64_t wanted, const ThreadSources& sources) {
  require(wanted >= 0 && wanted <= limits::threads,
          "runtime.threads={} is out of range: use 0 to {}", wanted, limits::threads);
  if (wanted > 0) return static_cast<int>(wanted);
  if (sources.omp_num_threads != nullptr) {
    const auto number = parse_omp_num_threads(sources.omp_num_threads);
    if (number) return static_cast<int>(*number);
  }
  // If mpirun binds ranks to cores, this rank may use fewer cores than its share.
  const int share = std::max(sources.cores / std::max(sources.ranks_on_this_host, 1), 1);
  return std::max(std::min(sources.usable_cores, share), 1);
}

std::string source_of_threads(std::int64_t wanted, const ThreadSources& sources) {
  if (wanted > 0) return "runtime.threads";
  if (sources.omp_num_threads != nullptr && !trimmed(sources.omp_num_threads).empty()) {
    return "OMP_NUM_THREADS";
  }
  return fmt::format("{} for {} on this host", counted(sources.cores, "core"),
                     counted(sources.ranks_on_this_host, "rank"));
}

}  // namespace masformer
