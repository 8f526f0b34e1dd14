// The order in which the threads of the attention backward add to dq.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace masformer::cpu {

// Makes key blocks add to dq in their order: before each step, block b of a head waits until block
// b - 1 is past that step. Work is handed out head by head, so that a head's rows stay in the
// caches, and in ascending order of blocks, so that the block that another waits for is always
// running.
class Relay {
 public:
  Relay(std::int64_t blocks, std::int64_t heads)
      : blocks_(blocks), passed_(static_cast<std::size_t>(blocks * heads)) {}

  // The next piece of work: head * blocks + block.
  std::int64_t take() { return next_.fetch_add(1, std::memory_order_relaxed); }

  // Calls while_waiting() repeatedly while it waits.
  template <class Work>
  void wait_for_previous(std::int64_t item, std::int64_t step, const Work& while_waiting) const {
    if (item % blocks_ == 0) return;
    const auto& passed = passed_[static_cast<std::size_t>(item - 1)];
    while (passed.load(std::memory_order_acquire) <= step) {
      while_waiting();
      std::this_thread::yield();
    }
  }
  // Announces that `item` has finished all steps before `step`.
  void pass(std::int64_t item, std::int64_t step) {
    passed_[static_cast<std::size_t>(item)].store(step, std::memory_order_release);
  }

 private:
  std::int64_t blocks_;
  std::atomic<std::int64_t> next_ = 0;
  std::vector<std::atomic<std::int64_t>> passed_;
};

}  // namespace masformer::cpu
