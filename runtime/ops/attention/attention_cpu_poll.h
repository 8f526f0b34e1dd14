// Polls a stream (Stream::set_poll) from the parallel region of an op. Only thread 0 of the region
// polls: it is the thread that issued the op, and MPI may allow no other (MPI_THREAD_FUNNELED).
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include <omp.h>

#include "runtime/stream.h"

namespace masformer::cpu {

class Poller {
 public:
  explicit Poller(const Stream& stream) : stream_(stream), polls_(stream.polls()) {
    if (polls_) next_ = Clock::now() + interval;
  }

  // Polls if this is thread 0 and the last poll is long enough ago. Every thread may call it,
  // between blocks of work.
  void between_blocks() noexcept {
    if (omp_get_thread_num() != 0 || !polls_ || Clock::now() < next_) return;
    try {
      stream_.poll();
    } catch (...) {  // it must not leave the region
      failure_ = std::current_exception();
      polls_ = false;
    }
    next_ = Clock::now() + interval;
  }

  // Every thread of the region calls it once, after its last block. Thread 0 polls until all have
  // done so.
  void finish_blocks() noexcept {
    finished_.fetch_add(1, std::memory_order_relaxed);
    if (omp_get_thread_num() != 0) return;
    while (polls_ && finished_.load(std::memory_order_relaxed) < omp_get_num_threads()) {
      between_blocks();
      std::this_thread::yield();
    }
  }

  // After the region.
  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds interval{50};

  const Stream& stream_;
  std::atomic<int> finished_ = 0;
  // Only thread 0 uses the others.
  bool polls_;
  Clock::time_point next_;
  std::exception_ptr failure_;
};

}  // namespace masformer::cpu
