// Checks that making and destroying something many times leaks nothing. All ranks of the world call
// it together.
#pragma once

#include <functional>

#include <gtest/gtest.h>

#include "tests/support/process_resources.h"
#include "tests/support/world.h"

namespace masformer::test {

// Runs `cycle` two hundred times. Afterwards the process may hold no more system and HDF5 resources
// than after the first cycles, which fill caches.
inline void expect_nothing_kept(const std::function<void(int)>& cycle) {
  constexpr int cycles = 200;
  constexpr int settled =
      20;  // cycles after which MPI, HDF5 and the allocator have filled their caches
  ProcessResources held;
  ProcessMemory memory;
  for (int i = 0; i < cycles; ++i) {
    cycle(i);
    world().barrier();
    if (i + 1 == settled) {
      held = held_resources();
      memory = held_memory();
    }
  }
  const ProcessMemory after = held_memory();
  EXPECT_EQ(held_resources(), held);
  // MPI's tables and buffers grow a little; a leak of a kilobyte per cycle exceeds the first bound.
  EXPECT_LE(after.heap - memory.heap, 128 << 10) << "bytes";
  EXPECT_LE(after.resident - memory.resident, 8 << 20) << "bytes";
}

}  // namespace masformer::test
