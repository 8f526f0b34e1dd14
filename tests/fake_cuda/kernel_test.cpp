// Kernels whose behaviour CUDA defines: the fake gives the defined results, whatever the order.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/test_support.h"

namespace fake_cuda {
namespace {

constexpr unsigned whole_warp = 0xffffffff;
constexpr int seeds = 8;

// sums [blocks]; each block adds its blockDim.x values, whole warps.
__global__ void sum_blocks(const int* values, int* sums) {
  __shared__ int of_warps[32];
  int sum = values[blockIdx.x * blockDim.x + threadIdx.x];
  for (int distance = warpSize / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(whole_warp, sum, distance);
  if (threadIdx.x % warpSize == 0) of_warps[threadIdx.x / warpSize] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = 0;
  for (unsigned i = 0; i < blockDim.x / warpSize; ++i) sum += of_warps[i];
  sums[blockIdx.x] = sum;
}

TEST(KernelTest, BlockAddsByShufflesAndSharedMemory) {
  constexpr int blocks = 7;
  for (const int threads : {32, 96, 256, 1024}) {
    std::vector<int> values(blocks * threads), expected(blocks, 0);
    std::iota(values.begin(), values.end(), 1);
    for (std::size_t i = 0; i < values.size(); ++i) expected[i / threads] += values[i];
    for (int seed = 0; seed < seeds; ++seed) {
      set_seed(seed);
      const DeviceArray<int> in(values.size()), out(blocks);
      in.set(values);
      ASSERT_EQ(start(blocks, threads, nullptr, sum_blocks, in.data(), out.data()), cudaSuccess);
      EXPECT_EQ(out.values(), expected) << threads << " threads, seed " << seed;
    }
  }
}

// Each thread adds 1 at its place in the order x, y, z of threads, then of blocks.
__global__ void count(int* visits) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  visits[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

TEST(KernelTest, EachThreadOfEachBlockRunsOnce) {
  for (const auto& [grid, shape] :
       {std::pair(dim3(1), dim3(1)), std::pair(dim3(100), dim3(33)),
        std::pair(dim3(3, 5, 2), dim3(5, 3, 7)), std::pair(dim3(1, 4), dim3(16, 64))}) {
    const std::size_t size = grid.x * grid.y * grid.z * shape.x * shape.y * shape.z;
    const DeviceArray<int> visits(size);
    visits.set(std::vector<int>(size, 0));
    ASSERT_EQ(start(grid, shape, nullptr, count, visits.data()), cudaSuccess);
    EXPECT_EQ(visits.values(), std::vector<int>(size, 1));
  }
}

// out [4, blockDim.x]: the result of each kind of shuffle if lane i gives i.
template <class T>
__global__ void shuffle_all(T* out, int operand, int width) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  const T value = static_cast<T>(lane);
  const unsigned n = blockDim.x, i = threadIdx.x;
  out[i] = __shfl_sync(whole_warp, value, operand, width);
  out[n + i] = __shfl_up_sync(whole_warp, value, static_cast<unsigned>(operand), width);
  out[2 * n + i] = __shfl_down_sync(whole_warp, value, static_cast<unsigned>(operand), width);
  out[3 * n + i] = __shfl_xor_sync(whole_warp, value, operand, width);
}

// The results of shuffles by the CUDA programming guide.
std::vector<int> defined_shuffles(int threads, int operand, int width) {
  std::vector<int> all(4 * threads);
  for (int i = 0; i < threads; ++i) {
    const int lane = i % 32, group = lane / width * width, end = group + width;
    all[i] = group + operand % width;
    all[threads + i] = lane - operand < group ? lane : lane - operand;
    all[2 * threads + i] = lane + operand >= end ? lane : lane + operand;
    all[3 * threads + i] = (lane ^ operand) >= end ? lane : lane ^ operand;
  }
  return all;
}

template <class T>
void expect_defined_shuffles() {
  constexpr int threads = 64;
  for (const int width : {1, 2, 8, 16, 32})
    for (const int operand : {0, 1, 3, 8, 17, 31}) {
      const DeviceArray<T> out(4 * threads);
      ASSERT_EQ(start(1, threads, nullptr, shuffle_all<T>, out.data(), operand, width),
                cudaSuccess);
      const std::vector<T> values = out.values();
      EXPECT_EQ(std::vector<int>(values.begin(), values.end()),
                defined_shuffles(threads, operand, width))
          << "operand " << operand << ", width " << width;
    }
}

TEST(KernelTest, ShufflesMoveFourAndEightBytes) {
  expect_defined_shuffles<int>();
  expect_defined_shuffles<float>();
  expect_defined_shuffles<double>();
  expect_defined_shuffles<unsigned long long>();
}

// Each half of a warp votes on whether the lane's number is a multiple of 3. out [blockDim.x, 3]
__global__ void vote(unsigned* out) {
  const unsigned lane = threadIdx.x, mask = lane < 16 ? 0xffff : 0xffff0000;
  const int multiple = lane % 3 == 0;
  out[3 * lane] = __ballot_sync(mask, multiple);
  out[3 * lane + 1] = static_cast<unsigned>(__any_sync(mask, lane == 20));
  out[3 * lane + 2] = static_cast<unsigned>(__all_sync(mask, lane >= 16));
}

TEST(KernelTest, VotesCountOnlyTheLanesOfTheMask) {
  const DeviceArray<unsigned> out(96);
  ASSERT_EQ(start(1, 32, nullptr, vote, out.data()), cudaSuccess);
  const std::vector<unsigned> votes = out.values();
  constexpr unsigned multiples = 0x49249249;  // bits 0, 3, ... 30
  for (unsigned lane = 0; lane < 32; ++lane) {
    const bool upper = lane >= 16;
    EXPECT_EQ(votes[3 * lane], multiples & (upper ? 0xffff0000 : 0xffff));
    EXPECT_EQ(votes[3 * lane + 1], upper);
    EXPECT_EQ(votes[3 * lane + 2], upper);
  }
}

// Writes the contents of a shared variable that the block has not written.
template <int size>
__global__ void read_unset(float* out) {
  __shared__ float values[size];
  out[blockIdx.x * size + threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = 1;
}

TEST(KernelTest, SharedMemoryIsPoisonedForEachBlock) {
  const DeviceArray<float> out(5 * 64);
  ASSERT_EQ(start(5, 64, nullptr, read_unset<64>, out.data()), cudaSuccess);
  const std::vector<float> values = out.values();
  EXPECT_TRUE(std::ranges::all_of(values, [](float x) { return std::isnan(x); }));
}

// Each thread reads what its neighbour wrote, with or without a barrier in between.
__global__ void rotate(int* out, bool wait) {
  __shared__ int values[128];
  const unsigned i = threadIdx.x;
  values[i] = static_cast<int>(i);
  if (wait) __syncthreads();
  out[i] = values[(i + 1) % blockDim.x];
}

TEST(KernelTest, MissingBarrierGivesWrongResults) {
  std::vector<int> expected(128);
  for (int i = 0; i < 128; ++i) expected[i] = (i + 1) % 128;
  int wrong = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    set_seed(seed);
    const DeviceArray<int> out(128);
    ASSERT_EQ(start(1, 128, nullptr, rotate, out.data(), true), cudaSuccess);
    EXPECT_EQ(out.values(), expected);
    ASSERT_EQ(start(1, 128, nullptr, rotate, out.data(), false), cudaSuccess);
    wrong += out.values() != expected;
  }
  EXPECT_EQ(wrong, seeds);
}

// Blocks record the order in which they run.
__global__ void note_order(int* next, int* order) {
  order[(*next)++] = static_cast<int>(blockIdx.x);
}

TEST(KernelTest, OrderOfBlocksDependsOnTheSeed) {
  constexpr int blocks = 20;
  std::vector<std::vector<int>> orders;
  for (const int seed : {1, 1, 2}) {
    set_seed(seed);
    const DeviceArray<int> next(1), order(blocks);
    next.set({0});
    ASSERT_EQ(start(blocks, 1, nullptr, note_order, next.data(), order.data()), cudaSuccess);
    orders.push_back(order.values());
    std::vector<int> sorted = orders.back();
    std::ranges::sort(sorted);
    for (int i = 0; i < blocks; ++i) EXPECT_EQ(sorted[i], i);
  }
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_NE(orders[0], orders[2]);
}

}  // namespace
}  // namespace fake_cuda
