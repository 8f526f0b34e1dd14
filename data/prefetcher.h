// Loads the batches of the next steps on a separate thread.
#pragma once

#include <cstdint>
#include <memory>

#include "data/loader.h"

namespace masformer {

class Prefetcher {
 public:
  // Starts to load steps first_step ... end_step - 1, at most `depth` ahead of the caller. The
  // loader must outlive the prefetcher.
  Prefetcher(const Loader& loader, std::int64_t first_step, std::int64_t end_step, int depth = 2);
  ~Prefetcher();  // stops the thread
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Waits for the next step's batch and returns it, in order. What the thread threw is thrown here.
  // Throws Error after the last step.
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masformer
