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

TEST(AttentionPoll, HappensOftenAndOnlyOnTheCallingThread) {
  const Case c = long_case();
  Call call(c);
  Stream stream(device(), threads);
  std::atomic<int> calls = 0, on_other_threads = 0;
  stream.set_poll([&, caller = std::this_thread::get_id()] {
    ++calls;
    if (std::this_thread::get_id() != caller) ++on_other_threads;
  });
  call.forward(c, stream);
  const int in_forward = calls.exchange(0);
  call.backward(c, stream);
  EXPECT_EQ(on_other_threads, 0);
  if (device() == Device::cpu) {
    EXPECT_GE(in_forward, 4);
    EXPECT_GE(calls, 4);
  } else {
    EXPECT_EQ(in_forward + calls, 0);
  }
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
  const auto message = [&](const auto& op) -> std::string {
    try {
      op();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  stream.set_poll(fail);
  EXPECT_EQ(message([&] { call.forward(c, stream); }), "a message was lost");
  EXPECT_EQ(calls, 1);
  stream.set_poll({});
  EXPECT_EQ(message([&] { call.forward(c, stream); }), "");
  stream.set_poll(fail);
  EXPECT_EQ(message([&] { call.backward(c, stream); }), "a message was lost");
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace masformer
