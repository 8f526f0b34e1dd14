#include "runtime/offset_allocator.h"

#include <algorithm>
#include <iterator>

#include "runtime/arena.h"
#include "runtime/error.h"

namespace masformer {

std::int64_t OffsetAllocator::allocate(std::int64_t bytes) {
  const std::int64_t size = std::max(Arena::round_up(bytes), Arena::alignment);
  std::int64_t begin = end_;
  for (auto fit = by_size_.lower_bound(size); fit != by_size_.end(); ++fit) {
    begin = std::min(begin, *fit->second.begin());
  }
  if (begin == end_) {
    end_ += size;
    peak_ = std::max(peak_, end_);
  } else {
    const auto gap = gaps_.find(begin);
    const std::int64_t rest = gap->second - size;
    remove_gap(gap);
    if (rest > 0) add_gap(begin + size, rest);
  }
  taken_.emplace(begin, size);
  return begin;
}

void OffsetAllocator::release(std::int64_t offset) {
  const auto found = taken_.find(offset);
  require(found != taken_.end(), "there is no buffer at offset {}", offset);
  std::int64_t begin = offset, size = found->second;
  taken_.erase(found);
  const auto next = gaps_.find(begin + size);
  if (next != gaps_.end()) {
    size += next->second;
    remove_gap(next);
  }
  const auto after = gaps_.lower_bound(begin);
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      size += before->second;
      remove_gap(before);
    }
  }
  if (begin + size == end_) {
    end_ = begin;
  } else {
    add_gap(begin, size);
  }
}

void OffsetAllocator::add_gap(std::int64_t begin, std::int64_t size) {
  gaps_.emplace(begin, size);
  by_size_[size].insert(begin);
}

void OffsetAllocator::remove_gap(Gaps::iterator gap) {
  const auto same_size = by_size_.find(gap->second);
  same_size->second.erase(gap->first);
  if (same_size->second.empty()) by_size_.erase(same_size);
  gaps_.erase(gap);
}

}  // namespace masformer
