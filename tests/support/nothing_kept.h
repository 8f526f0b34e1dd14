// Building up and tearing down a hundred times, on all ranks of a test's world together.
#pragma once

#include <functional>

#include <gtest/gtest.h>

#include "tests/support/process_resources.h"
#include "tests/support/world.h"

namespace masformer::test {

// Runs `cycle` a hundred times. Nothing of the system's or HDF5's may be held after the last that
// was not when all had settled.
inline void expect_nothing_kept(const std::function<void(int)>& cycle) {
  constexpr int cycles = 100;
  constexpr int settled = 20;  // after which MPI, HDF5 and the allocator have what they keep
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
  // MPI's own tables and buffers grow a little; a kilobyte a cycle would be above the first bound.
  EXPECT_LE(after.heap - memory.heap, 64 << 10) << "bytes";
  EXPECT_LE(after.resident - memory.resident, 8 << 20) << "bytes";
}

}  // namespace masformer::test
