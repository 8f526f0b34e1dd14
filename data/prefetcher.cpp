#include "data/prefetcher.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/error.h"

namespace masformer {

// `mutex` guards everything but the loader; `changed` is notified of every change.
struct Prefetcher::State {
  State(const Loader& source, std::int64_t first, std::int64_t end, std::size_t ahead)
      : loader(source), next_step(first), end_step(end), depth(ahead) {}

  void run(std::int64_t first);
  bool wait_for_room();

  const Loader& loader;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Batch> ready;  // steps next_step, next_step + 1, ...
  std::int64_t next_step;   // of the next call of next()
  std::int64_t end_step;
  std::size_t depth;
  std::exception_ptr failure;  // of the step after those that are ready
  bool stop = false;
  std::thread thread;  // started after everything above is initialized
};

// Returns false if the thread should end.
bool Prefetcher::State::wait_for_room() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return stop || ready.size() < depth; });
  return !stop;
}

void Prefetcher::State::run(std::int64_t first) {
  try {
    for (std::int64_t step = first; step < end_step && wait_for_room(); ++step) {
      Batch batch = loader.load(step);
      const std::lock_guard lock(mutex);
      ready.push_back(std::move(batch));
      changed.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex);
    failure = std::current_exception();
    changed.notify_all();
  }
}

Prefetcher::Prefetcher(const Loader& loader, std::int64_t first_step, std::int64_t end_step,
                       int depth) {
  require(depth >= 1, "the prefetcher's depth is {}, but must be at least 1", depth);
  state_ = std::make_unique<State>(loader, first_step, end_step, static_cast<std::size_t>(depth));
  state_->thread = std::thread(&State::run, state_.get(), first_step);
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

Batch Prefetcher::next() {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  require(s.next_step < s.end_step, "there is no batch left: all before step {} were returned",
          s.end_step);
  s.changed.wait(lock, [&s] { return !s.ready.empty() || s.failure; });
  if (s.ready.empty()) std::rethrow_exception(s.failure);
  Batch batch = std::move(s.ready.front());
  s.ready.pop_front();
  ++s.next_step;
  s.changed.notify_all();
  return batch;
}

}  // namespace masformer
