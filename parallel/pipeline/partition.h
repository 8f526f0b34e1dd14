// Which layers each pipeline stage holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace masformer {

struct LayerRange {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
  bool operator==(const LayerRange&) const = default;
};

// Stage s holds ranges[s]; together they hold every layer exactly once, in order.
using Partition = std::vector<LayerRange>;

// Stages that differ by at most one layer, the longer ones first. Throws UsageError with fewer
// layers than stages.
Partition even_partition(int layers, int stages);

// "even", "auto" (for now the same), or a comma-separated list of layer counts. Throws UsageError,
// with the sum that was wanted and the one that was given, for a list that is not one positive
// count a stage and all layers together.
Partition make_partition(std::string_view text, int layers, int stages);

std::string to_string(const LayerRange& range);  // "layers 0-11", "layer 3"

}  // namespace masformer
