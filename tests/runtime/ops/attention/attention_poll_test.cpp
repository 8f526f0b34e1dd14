// Long calls of attention poll their stream.
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/stream.h"
#include "tests/runtime/ops/attention/attention_case.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

constexpr int threads = 3;

// Takes tens of milliseconds on the CPU. Short on other devices, which do not poll.
Case long_case() {
  const std::int64_t tokens = device() == Device::cpu ? 1200 : 70;
  return {"full", 1, tokens, tokens, 4, 2, 64, 0, 0, Layout::contiguous, 0.125f};
}

// Repeats `op` until `polled()`. On a busy machine the other threads may do all of an op's work
// before the calling thread runs, and a call that finds nothing left to wait for does not poll.
template <typename Op, typename Polled>
void repeat_until(const Polled& polled, const Op& op) {
  for (int attempt = 0; attempt < 100 && !polled(); ++attempt) op();
}

TEST(AttentionPoll, HappensOftenAndOnlyOnTheCallingThread) {
  const Case c = long_case();
  Call call(c);
  Stream stream(device(), threads);
  std::atomic<int> calls = 0, on_other_threads = 0;
  stream.set_poll([&, caller = std::this_thread::get_id()] {
    ++calls;
    if (std::this_thread::get_id() != caller) ++on_other_threads;
  });
  const auto often = [&] { return calls >= 4; };
  if (device() == Device::cpu) {
    repeat_until(often, [&] { calls = 0, call.forward(c, stream); });
    EXPECT_TRUE(often());
    calls = 0;
    repeat_until(often, [&] { calls = 0, call.backward(c, stream); });
    EXPECT_TRUE(often());
  } else {
    call.forward(c, stream);
    call.backward(c, stream);
    EXPECT_EQ(calls, 0);
  }
  EXPECT_EQ(on_other_threads, 0);
}

TEST(AttentionPoll, ChangesNoBits) {
  const Case c = long_case();
  const auto bits = [&](bool polls) {
    Call call(c);
    Stream stream(device(), threads);
    if (polls) stream.set_poll([] {});
    call.forward(c, stream);
    call.backward(c, stream);
    return call.bits();
  };
  EXPECT_EQ(bits(true), bits(false));
}

TEST(AttentionPoll, AnExceptionOfTheHookLeavesTheOp) {
  if (device() != Device::cpu) GTEST_SKIP() << "only the CPU polls";
  const Case c = long_case();
  Call call(c);
  Stream stream(device(), threads);
  int calls = 0;
  const auto fail = [&] {
    ++calls;
    throw Error("a message was lost");
  };
  const auto expect_failure = [&](const auto& op) {
    stream.set_poll(fail);
    calls = 0;
    std::string message;
    repeat_until([&] { return calls > 0; },
                 [&] {
                   try {
                     op();
                   } catch (const Error& error) {
                     message = error.what();
                   }
                 });
    EXPECT_EQ(message, "a message was lost");
    EXPECT_EQ(calls, 1);
    stream.set_poll({});
    EXPECT_NO_THROW(op());
  };
  expect_failure([&] { call.forward(c, stream); });
  expect_failure([&] { call.backward(c, stream); });
}

}  // namespace
}  // namespace masformer
