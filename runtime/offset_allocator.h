// Places buffers of known lifetimes in one address range, so that the peak of an execution is found
// without executing it.
//
// First fit: the lowest gap that is large enough. It packs the nearly stack-like lifetimes of
// layers well, and depends on the order of calls only. An allocation takes the logarithm of the
// number of gaps, times the number of their different sizes, which are few since layers repeat.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>

namespace masformer {

class OffsetAllocator {
 public:
  // The offset of a new buffer of `bytes`, rounded up to Arena::alignment. An empty buffer takes a
  // slot too, so that every offset names one buffer.
  std::int64_t allocate(std::int64_t bytes);
  // Gives back what allocate() returned. Throws Error for anything else.
  void release(std::int64_t offset);
  std::int64_t peak() const { return peak_; }  // bytes: the end of the highest buffer ever placed

 private:
  using Gaps = std::map<std::int64_t, std::int64_t>;  // begin to size

  void add_gap(std::int64_t begin, std::int64_t size);
  void remove_gap(Gaps::iterator gap);

  std::unordered_map<std::int64_t, std::int64_t> taken_;  // begin to size
  Gaps gaps_;                                             // no two of them touch, none touches end_
  std::map<std::int64_t, std::set<std::int64_t>> by_size_;  // the same gaps: size to begins
  std::int64_t end_ = 0;                                    // all beyond is free
  std::int64_t peak_ = 0;
};

}  // namespace masformer
