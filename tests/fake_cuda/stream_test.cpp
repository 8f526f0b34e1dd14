// Streams, events and memory: work that was waited for is done, and other work is not.
#include "tests/fake_cuda/stream.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/test_support.h"

namespace fake_cuda {
namespace {

constexpr int seeds = 20;

__global__ void set(int* out, int value) {
  *out = value;
}
__global__ void copy(int* to, const int* from) {
  *to = *from;
}

class TestEvent {
 public:
  explicit TestEvent(unsigned flags = cudaEventDefault) {
    EXPECT_EQ(cudaEventCreateWithFlags(&event_, flags), cudaSuccess);
  }
  ~TestEvent() { EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess); }
  TestEvent(const TestEvent&) = delete;
  TestEvent& operator=(const TestEvent&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// One stream writes 1 and the next one reads it, with or without waiting for an event.
int passed_on(bool wait) {
  const TestStream writes, reads;
  const TestEvent written;
  const DeviceArray<int> from(1), to(1);
  from.set({0});
  start(1, 1, writes, set, from.data(), 1);
  cudaEventRecord(written, writes);
  if (wait) cudaStreamWaitEvent(reads, written, 0);
  start(1, 1, reads, copy, to.data(), from.data());
  return to.values()[0];
}

TEST(StreamTest, MissingEventGivesAWrongOrderForSomeSeed) {
  int right = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    set_seed(seed);
    EXPECT_EQ(passed_on(true), 1);
    right += passed_on(false);
  }
  EXPECT_GT(right, 0);
  EXPECT_LT(right, seeds);
}

TEST(StreamTest, WorkRunsOnlyWhenItIsWaitedFor) {
  const TestStream stream;
  const DeviceArray<int> value(1);
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  *pinned = 0;
  start(1, 1, stream, set, value.data(), 1);
  cudaMemcpyAsync(pinned, value.data(), sizeof(int), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(*pinned, 0);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(*pinned, 1);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST(StreamTest, HostMemoryIsReadAndWrittenWhenTheCopyRuns) {
  const TestStream stream;
  const DeviceArray<int> values(2);
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  int pageable = *pinned = 1;
  cudaMemcpyAsync(values.data(), &pageable, sizeof(int), cudaMemcpyHostToDevice, stream);
  cudaMemcpyAsync(values.data() + 1, pinned, sizeof(int), cudaMemcpyHostToDevice, stream);
  pageable = *pinned = 2;
  int back = 0;
  cudaMemcpyAsync(&back, values.data(), sizeof(int), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(back, 0);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(back, 2);
  EXPECT_EQ(values.values(), (std::vector{2, 2}));
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST(StreamTest, DestroyedStreamFinishesItsWork) {
  const DeviceArray<int> value(1);
  value.set({0});
  start(1, 1, TestStream(), set, value.data(), 1);
  EXPECT_EQ(value.values()[0], 1);
}

TEST(EventTest, QuerySucceedsOnceTheWorkBeforeItIsDone) {
  const TestStream stream;
  const TestEvent first, second;
  EXPECT_EQ(cudaEventQuery(first), cudaSuccess) << "it was never recorded";
  const DeviceArray<int> value(1);
  cudaEventRecord(first, stream);
  start(1, 1, stream, set, value.data(), 1);
  cudaEventRecord(second, stream);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, first, second), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(second), cudaErrorNotReady);  // tries the first piece of three
  EXPECT_EQ(cudaEventQuery(first), cudaSuccess);         // the second
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);       // the third
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, first, second), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  const TestEvent untimed(cudaEventDisableTiming);
  cudaEventRecord(untimed, stream);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, first, untimed), cudaErrorInvalidResourceHandle);
}

// A wait refers to the event's last record at the time when the wait was issued.
TEST(EventTest, WaitKeepsTheRecordItWasIssuedFor) {
  const TestStream stream, other, waits;
  const TestEvent event;
  bool may_end = false;
  cudaEventRecord(event, stream);
  cudaStreamWaitEvent(waits, event, 0);
  enqueue(other, [&] { return may_end; });
  cudaEventRecord(event, other);
  EXPECT_EQ(cudaStreamSynchronize(waits), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  may_end = true;
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
}

// As with messages between processes, neither ends before the other has been tried.
TEST(StreamTest, WorkOfTwoStreamsThatNeedEachOtherEnds) {
  const TestStream one, two;
  bool first_came = false, second_came = false;
  enqueue(one, [&] {
    first_came = true;
    return second_came;
  });
  enqueue(two, [&] {
    second_came = true;
    return first_came;
  });
  EXPECT_EQ(cudaStreamSynchronize(one), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST(StreamTest, QueryTriesEachStreamOnce) {
  const TestStream stream;
  int tries = 0;
  enqueue(stream, [&] { return ++tries == 3; });
  EXPECT_EQ(tries, 0);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
}

TEST(StreamTest, WorkThatCallsCudaStopsTheProgram) {
  const auto run = [] {
    cudaLaunchHostFunc(
        nullptr, [](void*) { cudaDeviceSynchronize(); }, nullptr);
    cudaStreamSynchronize(nullptr);
  };
  EXPECT_DEATH(run(), "work on a stream calls CUDA");
}

TEST(MemoryTest, AllocationFailsIfTheDeviceIsFull) {
  std::size_t free = 0, total = 0, left = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, total);
  char *some = nullptr, *rest = nullptr;
  constexpr std::size_t bytes = 1000;
  ASSERT_EQ(cudaMalloc(&some, bytes), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&left, &total), cudaSuccess);
  EXPECT_GE(free - left, bytes);
  EXPECT_EQ(cudaMalloc(&rest, left + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(rest, nullptr);
  ASSERT_EQ(cudaFree(some), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&left, &total), cudaSuccess);
  EXPECT_EQ(left, free);
}

TEST(MemoryTest, AllocationsArePoisoned) {
  for (int round = 0; round < 2; ++round) {
    const DeviceArray<float> values(1000);
    EXPECT_TRUE(std::ranges::all_of(values.values(), [](float x) { return std::isnan(x); }));
    values.set(std::vector<float>(1000, 1.0f));
  }
}

TEST(MemoryTest, RefusesCopiesOfTheWrongKind) {
  const DeviceArray<int> values(2);
  int host[3] = {};
  EXPECT_EQ(cudaMemcpy(host, values.data(), 8, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data(), host, 8, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data(), host, 12, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data(), host, 8, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(std::string(cudaGetErrorName(cudaGetLastError())), "cudaErrorInvalidValue");
}

}  // namespace
}  // namespace fake_cuda
