#include "tests/cuda_double/block.h"

#include <algorithm>

#include "tests/cuda_double/random.h"
#include "tests/cuda_double/report.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuda_double {

Block& block() {
  static Block& one = *new Block;  // kept to the end: its fibers are never done
  return one;
}

void Block::run(const dim3& shape, const uint3& index, const std::function<void()>& body) {
  blockIdx = index;
  blockDim = shape;
  body_ = &body;
  start(shape);
  make_all_ready();
  while (ready_count_ > 0) {
    running_ = next_ready();
    threadIdx = threads_[running_].index;
    threads_[running_].fiber.resume();
  }
  if (left_ < size_) report_stall();
}

void Block::start(const dim3& shape) {
  size_ = static_cast<int>(shape.x * shape.y * shape.z);
  left_ = 0;
  while (static_cast<int>(threads_.size()) < size_) threads_.emplace_back(run_thread);
  for (unsigned i = 0; i < static_cast<unsigned>(size_); ++i)
    threads_[i].index = {i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
  warps_.clear();
  for (int first = 0; first < size_; first += warpSize)
    warps_.emplace_back(std::min(warpSize, size_ - first));
}

void Block::run_thread() {
  (*block().body_)();
  block().leave();
}

void Block::leave() {
  if (at_barrier_ > 0)
    report("{}: block {}: {} threads wait for thread {}, which leaves", to_string(barrier_),
           to_string(blockIdx), at_barrier_, running_);
  warps_[running_ / warpSize].leave(running_ % warpSize);
  ++left_;
  threads_[running_].fiber.pause();
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
    make_all_ready();
  }
  threads_[running_].fiber.pause();
}

std::uint64_t Block::meet_warp(const Warp::Call& call) {
  const int thread = running_, lane = thread % warpSize, first = thread - lane;
  Warp& warp = warps_[thread / warpSize];
  if (warp.arrive(lane, call)) {
    for (int other = 0; other < warpSize; ++other)
      if (other != lane && (call.mask >> other & 1)) make_ready(first + other);
  } else {
    threads_[thread].fiber.pause();
  }
  return warp.result(lane);
}

// Warps come in a drawn order, and the lanes of each.
void Block::make_all_ready() {
  const Order warps(warps_.size());
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    const int first = static_cast<int>(warps[i]) * warpSize;
    const int lanes = std::min(warpSize, size_ - first);
    const Order order(lanes);
    for (int lane = 0; lane < lanes; ++lane) make_ready(first + static_cast<int>(order[lane]));
  }
}

void Block::make_ready(int thread) {
  ready_[(first_ready_ + ready_count_++) % max_threads] = thread;
}

int Block::next_ready() {
  const int thread = ready_[first_ready_];
  first_ready_ = (first_ready_ + 1) % max_threads;
  --ready_count_;
  return thread;
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
  report("block {}: threads wait for each other for ever:{}", to_string(blockIdx), waits);
}

void meet_block(Site site) {
  block().meet_block(site);
}

std::uint64_t meet_warp(Meeting meeting, unsigned mask, std::uint64_t value, int source,
                        Site site) {
  return block().meet_warp({meeting, mask, value, source, site});
}

}  // namespace cuda_double
