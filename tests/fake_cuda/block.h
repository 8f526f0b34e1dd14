// Runs the threads of a block, one at a time, on fibers. A fiber runs threads one after the other;
// a thread that waits keeps its fiber, and another fiber continues with the next threads. So
// threads that never wait cost no switch.
#pragma once

#include <cuda_runtime_api.h>
#include <deque>
#include <functional>
#include <vector>

#include "tests/fake_cuda/fiber.h"
#include "tests/fake_cuda/warp.h"

namespace fake_cuda {

constexpr int max_threads = 1024;  // per block

class Block {
 public:
  // Runs a block of `shape` to its end; each thread calls `body`. Sets the built-in variables
  // except the grid's. Keeps the fibers for the next block.
  void run(const dim3& shape, const uint3& index, const std::function<void()>& body);

  // These are called by the threads of the block.
  void meet_block(Site site);
  std::uint64_t meet_warp(const Warp::Call& call);
  int running() const { return running_; }

 private:
  struct Thread {
    uint3 index;
    Fiber* fiber;  // null until it starts
  };

  static void run_threads();  // what a fiber does
  void start(const dim3& shape);
  void set_indices(const dim3& shape);
  // Appends all threads: the warps in random order, each warp's lanes in random order.
  void append_all(std::vector<int>& threads) const;
  void enter(int thread);
  void leave();
  void switch_away();
  Fiber& next();
  Fiber& idle_fiber();
  [[noreturn]] void report_stall() const;

  const std::function<void()>* body_ = nullptr;
  dim3 shape_{0, 0, 0};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  int size_ = 0, running_ = 0;
  int left_ = 0;        // threads that have returned from the kernel
  int at_barrier_ = 0;  // threads that wait at `barrier_`
  Site barrier_{};
  // Both are used as stacks, because a warp whose lanes have just met is still in the caches.
  std::vector<int> unstarted_, ready_;

  Fiber program_;
  std::deque<Fiber> fibers_;
  std::vector<Fiber*> idle_;
  Fiber* fiber_ = &program_;  // the running one
};

// The running block; there is only one.
Block& block();

}  // namespace fake_cuda
