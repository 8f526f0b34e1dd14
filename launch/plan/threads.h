// How many threads each op of a rank runs on.
#pragma once

#include <cstdint>

namespace masformer {

// What the number is derived from where no option says it.
struct ThreadSources {
  const char* omp_num_threads = nullptr;  // the environment variable; null where it is not set
  int usable_cores = 1;                   // that this process may run on
  int cores = 1;                          // of this host
  int ranks_on_this_host = 1;
};

// `wanted` (runtime.threads) if it is above 0; else OMP_NUM_THREADS, of whose list the first number
// counts, unless it is empty; else this rank's share of the cores. At least 1. Throws UsageError
// where OMP_NUM_THREADS is not a number from 1 to limits::threads.
int choose_threads(std::int64_t wanted, const ThreadSources& sources);

}  // namespace masformer
