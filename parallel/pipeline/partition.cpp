#include "parallel/pipeline/partition.h"

#include <algorithm>
#include <cstdint>

#include <fmt/ranges.h>

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

}  // namespace

Partition even_partition(int layers, int stages) {
  require(stages >= 1, "there is no partition into {} stages", stages);
  if (layers < stages) {
    refuse(
        "model.layers={} can't fill parallel.pipeline={} stages: every stage holds at least one "
        "layer, so pick at most {} stages",
        layers, stages, layers);
  }
  std::vector<int> counts(static_cast<std::size_t>(stages), layers / stages);
  for (int stage = 0; stage < layers % stages; ++stage) ++counts[static_cast<std::size_t>(stage)];
  return ranges_of(counts);
}

std::vector<int> counts_of(const Partition& partition) {
  std::vector<int> counts;
  for (const LayerRange& range : partition) counts.push_back(range.size());
  return counts;
}

Partition make_partition(std::string_view text, int layers, int stages) {
  if (text == "even" || text == "auto") return even_partition(layers, stages);
  const std::vector<int> counts = parse_counts(text);
  if (static_cast<int>(counts.size()) != stages) {
    refuse(
        "parallel.partition={} has {} counts, but parallel.pipeline={}: write one count per stage",
        text, counts.size(), stages);
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
