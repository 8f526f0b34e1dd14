// Computes the lane that a shuffle reads.
#include "tests/fake_cuda/block.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

// The first lane of the group.
int group(int width) {
  if (width < 1 || width > warpSize || !std::has_single_bit(static_cast<unsigned>(width)))
    report("a shuffle among {} lanes: the width must be a power of two up to {}", width, warpSize);
  return lane() & ~(width - 1);
}

}  // namespace

int lane() {
  return block().running() % warpSize;
}

int indexed_lane(int source, int width) {
  return group(width) + (source & (width - 1));
}

int lane_above(unsigned distance, int width) {
  const unsigned source = static_cast<unsigned>(lane()) + distance;
  return source < static_cast<unsigned>(group(width) + width) ? static_cast<int>(source) : lane();
}

int lane_below(unsigned distance, int width) {
  const int room = lane() - group(width);
  return distance <= static_cast<unsigned>(room) ? lane() - static_cast<int>(distance) : lane();
}

// Lanes of an earlier group may be read, those of a later group may not.
int crossed_lane(int mask, int width) {
  const int source = lane() ^ mask;
  return source >= 0 && source < group(width) + width ? source : lane();
}

}  // namespace fake_cuda
