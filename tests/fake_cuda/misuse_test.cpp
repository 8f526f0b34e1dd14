// The fake detects uses that CUDA leaves undefined or answers with an error.
#include <string>

#include "tests/fake_cuda/test_support.h"

namespace fake_cuda {
namespace {

constexpr unsigned whole_warp = 0xffffffff;

__global__ void leave_before_barrier() {
  if (threadIdx.x == 3) return;
  __syncthreads();
}

__global__ void part_at_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void meet_at_barrier_and_shuffle() {
  if (threadIdx.x == 0) {
    __syncthreads();
  } else {
    __shfl_sync(whole_warp, 1, 0);
  }
}

__global__ void leave_before_shuffle() {
  if (threadIdx.x == 3) return;
  __shfl_xor_sync(whole_warp, 1, 1);
}

__global__ void shuffle_whole_warp() {
  __shfl_xor_sync(whole_warp, 1, 1);
}

__global__ void call_outside_of_mask() {
  __syncwarp(0xfffffffe);
}

__global__ void read_outside_of_mask() {
  if (threadIdx.x < 16) __shfl_sync(0xffff, 1, 20);
}

__global__ void part_at_shuffles() {
  if (threadIdx.x < 16) {
    __shfl_xor_sync(whole_warp, 1, 16);
  } else {
    __shfl_xor_sync(whole_warp, 1, 16);
  }
}

__global__ void disagree_about_mask() {
  __syncwarp(threadIdx.x < 16 ? whole_warp : 0xffff0000);
}

__global__ void shuffle_among_three() {
  __shfl_xor_sync(whole_warp, 1, 1, 3);
}

struct Misuse {
  const char* name;
  void (*kernel)();
  int threads;
  const char* message;
};

class MisuseTest : public testing::TestWithParam<Misuse> {};

TEST_P(MisuseTest, StopsTheProgramWithAMessage) {
  const auto& [name, kernel, threads, message] = GetParam();
  const auto run = [kernel = kernel, threads = threads] {
    start(1, threads, nullptr, kernel);
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(run(), message);
}

INSTANTIATE_TEST_SUITE_P(
    , MisuseTest,
    testing::Values(
        Misuse{"leave_before_barrier", leave_before_barrier, 64, "misuse_test.*thread"},
        Misuse{"part_at_barriers", part_at_barriers, 64, "meets .* threads at"},
        Misuse{"meet_at_barrier_and_shuffle", meet_at_barrier_and_shuffle, 32, "wait for each"},
        Misuse{"leave_before_shuffle", leave_before_shuffle, 32, "0x8, which have|lane 3, which"},
        Misuse{"too_small_for_the_mask", shuffle_whole_warp, 48, "0xffff0000, which have left"},
        Misuse{"call_outside_of_mask", call_outside_of_mask, 32, "lane 0 .* is not in it"},
        Misuse{"read_outside_of_mask", read_outside_of_mask, 32, "reads lane 20"},
        Misuse{"part_at_shuffles", part_at_shuffles, 32, "meets others at"},
        Misuse{"disagree_about_mask", disagree_about_mask, 32, "meets others|waits for lane"},
        Misuse{"shuffle_among_three", shuffle_among_three, 32, "among 3 lanes"}),
    [](const auto& misuse) { return std::string(misuse.param.name); });

__global__ void do_nothing() {}

TEST(LaunchTest, RefusesImpossibleShapes) {
  struct Shape {
    dim3 grid, block;
    cudaError_t error;
  };
  for (const auto& [grid, block, error] : {
           Shape{{1, 65535, 1}, {1, 1, 1}, cudaSuccess},
           Shape{{1, 1, 1}, {1024, 1, 1}, cudaSuccess},
           Shape{{1, 1, 1}, {4, 4, 64}, cudaSuccess},
           Shape{{1, 1, 1}, {1025, 1, 1}, cudaErrorInvalidConfiguration},
           Shape{{1, 1, 1}, {33, 32, 1}, cudaErrorInvalidConfiguration},
           Shape{{1, 1, 1}, {1, 1, 65}, cudaErrorInvalidConfiguration},
           Shape{{0, 1, 1}, {32, 1, 1}, cudaErrorInvalidConfiguration},
           Shape{{1, 65536, 1}, {32, 1, 1}, cudaErrorInvalidConfiguration},
           Shape{{1, 1, 65536}, {32, 1, 1}, cudaErrorInvalidConfiguration},
       }) {
    EXPECT_EQ(start(grid, block, nullptr, do_nothing), error);
    EXPECT_EQ(cudaGetLastError(), error);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
}

__global__ void write(int* out) {
  out[threadIdx.x] = 1;
}

TEST(MemoryTest, RefusesHostPointersAsKernelArguments) {
  int value = 0;
  EXPECT_DEATH(start(1, 1, nullptr, write, &value), "neither to the device nor to pinned");
}

TEST(MemoryTest, HostAccessToDeviceMemoryCrashes) {
  const DeviceArray<int> values(4);
  const volatile int* first = values.data();
  EXPECT_DEATH(static_cast<void>(*first), "");
}

void write_behind() {
  int* values = nullptr;
  cudaMalloc(&values, 4 * sizeof(int));
  start(1, 5, nullptr, write, values);
  cudaFree(values);
}

TEST(MemoryTest, ReportsWritesBehindAnAllocation) {
  EXPECT_DEATH(write_behind(), "16 bytes of device memory were written at byte 16");
}

}  // namespace
}  // namespace fake_cuda
