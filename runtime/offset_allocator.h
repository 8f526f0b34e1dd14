// Places buffers of known lifetimes in one address range, so that the peak of an execution is found
// without executing it.
//
// First fit: it uses the lowest gap that is large enough. This packs the nearly stack-like
// lifetimes of layers well, and depends only on the order of calls. The time of an allocation grows
// with the logarithm of the number of gaps, times the number of different gap sizes, which are few
// because layers repeat.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>

namespace masformer {

class OffsetAllocator {
 public:
  // Returns the offset of a new buffer of `bytes`, rounded up to Arena::alignment. An empty buffer
  // gets a slot, too, so that every offset names one buffer.
  std::int64_t allocate(std::int64_t bytes);
  // Frees the buffer at an offset that allocate() returned. Throws Error for any other offset.
  void release(std::int64_t offset);
  std::int64_t peak() const { return peak_; }  // bytes: the end of the highest buffer ever placed

 private:
  using Gaps = std::map<std::int64_t, std::int64_t>;  // begin to size

  void add_gap(std::int64_t begin, std::int64_t size);
  void remove_gap(Gaps::iterator gap);

  std::unordered_map<std::int64_t, std::int64_t> taken_;  // begin to size
  Gaps gaps_;                                             // never adjacent to each other or to end_
  std::map<std::int64_t, std::set<std::int64_t>> by_size_;  // the same gaps: size to begins
  std::int64_t end_ = 0;                                    // everything beyond it is free
  std::int64_t peak_ = 0;
};

}  // namespace masformer
