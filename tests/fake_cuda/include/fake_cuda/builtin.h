// CUDA's additions to C++ for kernels: the built-in variables, and the barriers and intrinsics at
// which the threads of a block or warp meet.
//
// Where CUDA's behaviour is undefined, the program stops with a message: if some threads reach a
// barrier or warp intrinsic elsewhere or never, if a mask names threads that have returned or do
// not exist, and if a lane reads a lane outside of its mask.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector_types.h>

// Set by the fake before a thread continues; kernels read them.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace fake_cuda {

// The place of a call in a kernel's source. Threads must meet at the same place.
struct Site {
  const char* file;
  int line;
  friend bool operator==(const Site&, const Site&) = default;
};

enum class Meeting { barrier, sync, shuffle, vote };

// Waits for all threads of the block.
void meet_block(Site site);

// Waits for the threads of the warp in `mask`. A shuffle returns the `value` of lane `source`; a
// vote returns a bit for each lane in the mask whose value is not zero.
std::uint64_t meet_warp(Meeting meeting, unsigned mask, std::uint64_t value, int source, Site site);

// The number of the running thread in its warp.
int lane();

// The lane that a shuffle reads. If the source lane is outside the thread's group of `width` lanes,
// the thread reads its own lane.
int indexed_lane(int source, int width);
int lane_above(unsigned distance, int width);
int lane_below(unsigned distance, int width);
int crossed_lane(int mask, int width);

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const std::uint64_t bits = std::bit_cast<Bits>(value);
  return std::bit_cast<T>(static_cast<Bits>(meet_warp(Meeting::shuffle, mask, bits, source, site)));
}

}  // namespace fake_cuda

// The last two parameters of each are the place of the call; callers leave them out.

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  fake_cuda::meet_block({file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffff, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  fake_cuda::meet_warp(fake_cuda::Meeting::sync, mask, 0, 0, {file, line});
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return fake_cuda::shuffle(mask, value, fake_cuda::indexed_lane(source, width), {file, line});
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return fake_cuda::shuffle(mask, value, fake_cuda::lane_above(distance, width), {file, line});
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return fake_cuda::shuffle(mask, value, fake_cuda::lane_below(distance, width), {file, line});
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return fake_cuda::shuffle(mask, value, fake_cuda::crossed_lane(lanes, width), {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  return static_cast<unsigned>(
      fake_cuda::meet_warp(fake_cuda::Meeting::vote, mask, predicate != 0, 0, {file, line}));
}

inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
