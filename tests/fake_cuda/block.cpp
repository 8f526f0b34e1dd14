#include "tests/fake_cuda/block.h"

#include <algorithm>

#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/report.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace fake_cuda {
namespace {

template <class T>
T take_last(std::vector<T>& values) {
  const T last = values.back();
  values.pop_back();
  return last;
}

}  // namespace

Block& block() {
  static Block& one = *new Block;  // never destroyed: its fibers do not end
  return one;
}

void Block::run(const dim3& shape, const uint3& index, const std::function<void()>& body) {
  blockIdx = index;
  blockDim = shape;
  body_ = &body;
  start(shape);
  switch_away();
  if (left_ < size_) report_stall();
}

void Block::start(const dim3& shape) {
  left_ = 0;
  if (shape.x != shape_.x || shape.y != shape_.y || shape.z != shape_.z) set_indices(shape);
  warps_.clear();
  for (int first = 0; first < size_; first += warpSize)
    warps_.emplace_back(std::min(warpSize, size_ - first));
  append_all(unstarted_);
}

void Block::set_indices(const dim3& shape) {
  shape_ = shape;
  size_ = static_cast<int>(shape.x * shape.y * shape.z);
  threads_.resize(size_);
  std::size_t thread = 0;
  for (unsigned z = 0; z < shape.z; ++z)
    for (unsigned y = 0; y < shape.y; ++y)
      for (unsigned x = 0; x < shape.x; ++x) threads_[thread++].index = {x, y, z};
}

void Block::append_all(std::vector<int>& threads) const {
  const Order warps(warps_.size());
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    const int first = static_cast<int>(warps[i]) * warpSize;
    const int lanes = std::min(warpSize, size_ - first);
    const Order order(lanes);
    for (int lane = 0; lane < lanes; ++lane)
      threads.push_back(first + static_cast<int>(order[lane]));
  }
}

void Block::run_threads() {
  Block& self = block();
  while (self.ready_.empty() && !self.unstarted_.empty()) {
    self.enter(take_last(self.unstarted_));
    self.threads_[self.running_].fiber = self.fiber_;
    (*self.body_)();
    self.leave();
  }
  self.idle_.push_back(self.fiber_);
  self.switch_away();
}

void Block::enter(int thread) {
  running_ = thread;
  threadIdx = threads_[thread].index;
}

void Block::leave() {
  if (at_barrier_ > 0)
    report("{}: block {}: {} threads wait for thread {}, which leaves", to_string(barrier_),
           to_string(blockIdx), at_barrier_, running_);
  warps_[running_ / warpSize].leave(running_ % warpSize);
  ++left_;
}

void Block::switch_away() {
  Fiber& from = *fiber_;
  fiber_ = &next();
  if (fiber_ != &from) from.switch_to(*fiber_);
}

// The program's own fiber continues when all threads are done or wait forever.
Fiber& Block::next() {
  if (!ready_.empty()) {
    enter(take_last(ready_));
    return *threads_[running_].fiber;
  }
  return unstarted_.empty() ? program_ : idle_fiber();
}

Fiber& Block::idle_fiber() {
  if (!idle_.empty()) return *take_last(idle_);
  constexpr std::size_t in_use = 512;  // about the bytes of each stack that are in use
  return fibers_.emplace_back(run_threads, fibers_.size() % 8 * in_use);
}

void Block::meet_block(Site site) {
  if (left_ > 0)
    report("{}: block {}: thread {} waits for {} threads that have left", to_string(site),
           to_string(blockIdx), running_, left_);
  if (at_barrier_ > 0 && site != barrier_)
    report("{}: block {}: thread {} meets {} threads at {}", to_string(site), to_string(blockIdx),
           running_, at_barrier_, to_string(barrier_));
  barrier_ = site;
  if (++at_barrier_ == size_) {
    at_barrier_ = 0;
    append_all(ready_);
  }
  switch_away();
}

std::uint64_t Block::meet_warp(const Warp::Call& call) {
  const int thread = running_, lane = thread % warpSize, first = thread - lane;
  Warp& warp = warps_[thread / warpSize];
  if (warp.arrive(lane, call)) {
    for (int other = 0; other < warpSize; ++other)
      if (other != lane && (call.mask >> other & 1)) ready_.push_back(first + other);
  } else {
    switch_away();
  }
  return warp.result(lane);
}

void Block::report_stall() const {
  std::string waits;
  if (at_barrier_ > 0)
    waits += fmt::format("\n  {} threads at {}", at_barrier_, to_string(barrier_));
  for (std::size_t i = 0; i < warps_.size(); ++i)
    for (int lane = 0; lane < warpSize; ++lane)
      if (warps_[i].waiting() >> lane & 1) {
        const Warp::Call& call = warps_[i].call(lane);
        waits += fmt::format("\n  lane {} of warp {} at {} with mask {:#x}", lane, i,
                             to_string(call.site), call.mask);
      }
  report("block {}: threads wait for each other forever:{}", to_string(blockIdx), waits);
}

void meet_block(Site site) {
  block().meet_block(site);
}

std::uint64_t meet_warp(Meeting meeting, unsigned mask, std::uint64_t value, int source,
                        Site site) {
  return block().meet_warp({meeting, mask, value, source, site});
}

}  // namespace fake_cuda
