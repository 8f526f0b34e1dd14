// Loads the next steps' batches on a thread of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "data/loader.h"

namespace masformer {

class Prefetcher {
 public:
  // Starts to load steps first_step, first_step + 1, ... up to (without) end_step, at most `depth`
  // ahead of the caller. The loader outlives the prefetcher.
  Prefetcher(const Loader& loader, std::int64_t first_step, std::int64_t end_step, int depth = 2);
  ~Prefetcher();  // stops the thread
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next step's batch, in order; waits for it. What the thread threw is thrown here. Throws
  // Error behind the last step.
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masformer
