#include "parallel/pipeline/partition.h"

#include <algorithm>
#include <cstdint>

#include <fmt/ranges.h>

#include "runtime/counted.h"
#include "runtime/error.h"
#include "runtime/repeated_list.h"
#include "runtime/trimmed.h"

namespace masformer {
namespace {

// A larger number is a typing error. The limit also keeps the sum of a list from overflowing.
constexpr int max_layers = 1'000'000;

int parse_layers(std::string_view item, std::string_view text) {
  const auto count = parse_count(item);
  if (!count || *count > max_layers) {
    refuse(
        "parallel.partition={} holds '{}', which is not a positive number of layers: write even, "
        "auto, or one count per stage, as in 7,6",
        text, item);
  }
  return static_cast<int>(*count);
}

std::vector<int> parse_counts(std::string_view text) {
  std::vector<int> counts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    counts.push_back(parse_layers(trimmed(text.substr(begin, end - begin)), text));
    begin = end + 1;
  }
  return counts;
}

Partition ranges_of(const std::vector<int>& counts) {
  Partition partition;
  int begin = 0;
  for (const int count : counts) {
    partition.push_back({begin, begin + count});
    begin += count;
  }
  return partition;
}

[[noreturn]] void refuse_too_few(int layers, int stages, int chunks) {
  if (chunks == 1) {
    refuse(
        "model.layers={} can't fill parallel.pipeline={} stages: every stage holds at least one "
        "layer, so pick at most {}",
        layers, stages, counted(layers, "stage"));
  }
  refuse(
      "model.layers={} can't fill parallel.pipeline={} stages of {} parts: every part holds at "
      "least one layer, so pick {}at most {}",
      layers, stages, chunks,
      layers >= stages ? fmt::format("parallel.chunks={} or less (if the schedule takes it), or ",
                                     layers / stages)
                       : "",
      counted(std::max(layers / chunks, 1), "stage"));
}

}  // namespace

Partition even_partition(int layers, int stages, int chunks) {
  require(stages >= 1 && chunks >= 1, "there is no partition into {} stages of {} parts", stages,
          chunks);
  const int parts = stages * chunks;
  if (layers < parts) refuse_too_few(layers, stages, chunks);
  std::vector<int> counts(static_cast<std::size_t>(parts), layers / parts);
  for (int part = 0; part < layers % parts; ++part) ++counts[static_cast<std::size_t>(part)];
  return ranges_of(counts);
}

Partition first_partition(int layers, int parts) {
  Partition partition;
  for (int part = 0; part < parts - 1; ++part) partition.push_back({part, part + 1});
  partition.push_back({parts - 1, layers});
  return partition;
}

bool next_partition(Partition& partition) {
  const int layers = partition.back().end;
  const auto last = static_cast<int>(partition.size()) - 1;
  for (int part = last - 1; part >= 0; --part) {
    int end = partition[static_cast<std::size_t>(part)].end + 1;
    if (end > layers - (last - part)) continue;
    for (int moved = part; moved < last; ++moved, ++end) {
      partition[static_cast<std::size_t>(moved)].end = end;
      partition[static_cast<std::size_t>(moved) + 1].begin = end;
    }
    return true;
  }
  return false;
}

double count_partitions(int layers, int parts, double limit) {
  double count = 1;  // layers - 1 over parts - 1
  for (int i = 1; i < parts && count <= limit; ++i) count = count * (layers - i) / i;
  return count;
}

std::vector<int> counts_of(const Partition& partition) {
  std::vector<int> counts;
  for (const LayerRange& range : partition) counts.push_back(range.size());
  return counts;
}

Partition make_partition(std::string_view text, int layers, int stages, int chunks) {
  if (text == "even" || text == "auto") return even_partition(layers, stages, chunks);
  const std::vector<int> counts = parse_counts(text);
  if (static_cast<int>(counts.size()) != stages * chunks) {
    refuse(
        "parallel.partition={} has {}, but parallel.pipeline={}{}: write one count per "
        "{}",
        text, counted(std::ssize(counts), "count"), stages,
        chunks == 1 ? "" : fmt::format(" with {} parts per stage", chunks),
        chunks == 1 ? "stage" : "part, in the order of the model");
  }
  std::int64_t sum = 0;
  for (const int count : counts) sum += count;
  if (sum != layers) {
    refuse("parallel.partition={} has {} layers, but model.layers={}: change one of them", text,
           sum, layers);
  }
  return ranges_of(counts);
}

std::string to_string(const LayerRange& range) {
  if (range.size() == 1) return fmt::format("layer {}", range.begin);
  return fmt::format("layers {}-{}", range.begin, range.end - 1);
}

}  // namespace masformer
