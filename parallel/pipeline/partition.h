// Which blocks are in each part of the model (placement.h). With one part per stage, these are the
// blocks of each stage.
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

// Part p holds ranges[p]; together they hold every layer exactly once, in order.
using Partition = std::vector<LayerRange>;

// One range for each of stages * chunks parts. Their sizes differ by at most one layer, the longer
// ones first. Throws UsageError if there are fewer layers than parts.
Partition even_partition(int layers, int stages, int chunks = 1);

// For going through all partitions of so many layers into parts, in the order of their boundaries:
// the first, whose parts hold one layer each and the last one the rest; the next, or false after
// the last; and how many there are, or anything above `limit` if there are more.
Partition first_partition(int layers, int parts);
bool next_partition(Partition& partition);
double count_partitions(int layers, int parts, double limit);

// The sizes of the ranges.
std::vector<int> counts_of(const Partition& partition);

// "even", "auto" (the same, until balance() has solved it), or a comma-separated list of layer
// counts, in the order of parts. Throws UsageError unless the list has one positive count per part
// and their sum is `layers`.
Partition make_partition(std::string_view text, int layers, int stages, int chunks = 1);

std::string to_string(const LayerRange& range);  // "layers 0-11", "layer 3"

}  // namespace masformer
