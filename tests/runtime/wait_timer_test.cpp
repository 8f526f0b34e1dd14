// What a timer of waits tells of a stream: the time without the waits, as time_wait() reports them.
#include "runtime/wait_timer.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

using namespace std::chrono_literals;

void sleep_for(std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);
}

TEST(WaitTimer, LeavesWaitsOut) {
  Stream stream(Device::cpu);
  const auto begin = std::chrono::steady_clock::now();
  WaitTimer timer(stream);
  sleep_for(30ms);
  time_wait(stream, "tensor ranks", [] { sleep_for(200ms); });
  time_wait(stream, "other stages", [&] {
    time_wait(stream, "tensor ranks", [] { sleep_for(100ms); });  // a part of it
  });
  const TimedWaits timed = timer.finish();
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(stream.wait_timer(), nullptr);
  EXPECT_GE(timed.busy_seconds(), 0.03);
  EXPECT_LE(timed.busy_seconds(), all.count() - 0.3);
}

TEST(WaitTimer, TimesDevicesToo) {
  Stream stream(device());
  const OwnedTensor x({64});
  WaitTimer timer(stream);
  fill_zero(stream, x);
  time_wait(stream, "gradients", [&] { fill_zero(stream, x); });
  const TimedWaits timed = timer.finish();
  EXPECT_GT(timed.busy_seconds(), 0);
  EXPECT_LT(timed.busy_seconds(), 60);
}

TEST(WaitTimer, WorksBesideAnOpTimer) {
  Stream stream(device());
  const OwnedTensor x({64});
  OpTimer ops(stream);
  WaitTimer waits(stream);
  time_wait(stream, "gradients", [&] { fill_zero(stream, x); });
  EXPECT_THROW(WaitTimer another(stream), Error);
  EXPECT_GE(waits.finish().busy_seconds(), 0);
  ops.finish();
  EXPECT_EQ(ops.calls().size(), 1u);
}

TEST(WaitTimer, IsZeroIfNothingWasTimed) {
  EXPECT_EQ(TimedWaits().busy_seconds(), 0);
}

}  // namespace
}  // namespace masformer::test
