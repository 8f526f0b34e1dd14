// How many threads each op of a rank runs on.
#pragma once

#include <cstdint>
#include <string>

namespace masformer {

// What the number of threads is derived from if no option gives it.
struct ThreadSources {
  const char* omp_num_threads = nullptr;  // the environment variable; null if it is not set
  int usable_cores = 1;                   // that this process may run on
  int cores = 1;                          // of this host
  int ranks_on_this_host = 1;
};

// Returns `wanted` (runtime.threads) if it is above 0; else the first number of OMP_NUM_THREADS, if
// that is set and not empty; else this rank's share of the cores. At least 1. Throws UsageError if
// that number is not from 1 to limits::threads.
int choose_threads(std::int64_t wanted, const ThreadSources& sources);
// Where that number is from, in words: "4 cores for 2 ranks on this host".
std::string source_of_threads(std::int64_t wanted, const ThreadSources& sources);

}  // namespace masformer
