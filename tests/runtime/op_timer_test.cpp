// What a timer records about the calls on its stream.
#include "runtime/op_timer.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

std::vector<std::string> names(const OpTimer& timer) {
  std::vector<std::string> all;
  for (const TimedCall& call : timer.calls()) all.emplace_back(call.name);
  return all;
}

TEST(OpTimer, TimesOpsUntilItFinishes) {
  Stream stream(device());
  const OwnedTensor x({64, 32}), weight({16, 32}), y({64, 16});
  fill_zero(stream, y);  // before
  OpTimer timer(stream);
  fill_zero(stream, x);
  linear(stream, x, weight, {}, y);
  timer.finish();
  EXPECT_EQ(stream.timer(), nullptr);
  fill_zero(stream, y);  // after
  EXPECT_EQ(names(timer), (std::vector<std::string>{"fill_zero", "linear"}));
  double sum = 0;
  for (const TimedCall& call : timer.calls()) {
    EXPECT_EQ(call.kind, CallKind::op);
    EXPECT_GT(call.seconds, 0) << call.name;
    sum += call.seconds;
  }
  EXPECT_LE(sum, timer.seconds() * (1 + 1e-6));
  EXPECT_EQ(timer.calls()[0].flops, 0);
  EXPECT_EQ(timer.calls()[1].flops, 2.0 * 64 * 32 * 16);
}

TEST(OpTimer, TellsWhereCallsAreMade) {
  Stream stream(device());
  const OwnedTensor x({4});
  OpTimer timer(stream);
  fill_zero(stream, x);
  timer.set_site({"mlp", "forward"});
  fill_zero(stream, x);
  time_wait(stream, "data ranks", [&] { fill_zero(stream, x); });
  timer.set_site({});
  timer.finish();
  const std::vector<TimedCall> calls = timer.calls();
  ASSERT_EQ(calls.size(), 3u) << "an op within a wait is part of it";
  EXPECT_EQ(calls[0].site, CallSite{});
  EXPECT_EQ(calls[1].site, (CallSite{"mlp", "forward"}));
  EXPECT_EQ(calls[2].name, "data ranks");
  EXPECT_EQ(calls[2].kind, CallKind::wait);
}

TEST(OpTimer, DetachesWhenItIsDestroyed) {
  Stream stream(device());
  std::optional<OpTimer> timer(std::in_place, stream);
  EXPECT_EQ(stream.timer(), &*timer);
  EXPECT_THROW(OpTimer{stream}, Error) << "a stream has one at most";
  timer.reset();
  EXPECT_EQ(stream.timer(), nullptr);
}

}  // namespace
}  // namespace masformer::test
