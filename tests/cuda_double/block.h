// Runs the threads of a block, each on a fiber, in turns that end where it has to wait.
#pragma once

#include <array>
#include <cuda_runtime_api.h>
#include <deque>
#include <functional>
#include <vector>

#include "tests/cuda_double/fiber.h"
#include "tests/cuda_double/warp.h"

namespace cuda_double {

constexpr int max_threads = 1024;  // of a block

class Block {
 public:
  // Runs a block of `shape` to its end; each thread calls `body`. Sets the built-in variables but
  // for the grid's. Fibers are kept for the next block.
  void run(const dim3& shape, const uint3& index, const std::function<void()>& body);

  // Called from the threads.
  void meet_block(Site site);
  std::uint64_t meet_warp(const Warp::Call& call);
  int running() const { return running_; }

 private:
  struct Thread {
    explicit Thread(void (*body)()) : fiber(body) {}
    Fiber fiber;
    uint3 index;
  };

  static void run_thread();
  void start(const dim3& shape);
  void make_all_ready();
  void make_ready(int thread);
  int next_ready();
  void leave();
  [[noreturn]] void report_stall() const;

  const std::function<void()>* body_ = nullptr;
  std::deque<Thread> threads_;
  std::vector<Warp> warps_;
  int size_ = 0, running_ = 0;
  int left_ = 0;        // threads that returned from the kernel
  int at_barrier_ = 0;  // threads that wait at `barrier_`
  Site barrier_{};
  // A queue: each thread stands in it at most once.
  std::array<int, max_threads> ready_;
  int first_ready_ = 0, ready_count_ = 0;
};

// The one block that runs.
Block& block();

}  // namespace cuda_double
