// Events in a stream's work, and copies between host and device while the stream continues.
#include "runtime/device_event.h"

#include <chrono>
#include <cstdint>

#include <gtest/gtest.h>

#include "runtime/ops/elementwise.h"
#include "runtime/readback.h"
#include "runtime/upload.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

TEST(DeviceEvent, IsBetweenTheWorkIssuedBeforeAndAfterIt) {
  const Stream stream(device());
  DeviceEvent().wait();
  const DeviceEvent begin(stream);
  const OwnedTensor x({1 << 16});
  fill_zero(stream, x);
  const DeviceEvent middle(stream);
  fill_zero(stream, x);
  const DeviceEvent end(stream);
  end.wait();
  EXPECT_GE(middle.seconds_since(begin), 0);
  EXPECT_GE(end.seconds_since(middle), 0);
  EXPECT_NEAR(end.seconds_since(begin), middle.seconds_since(begin) + end.seconds_since(middle),
              1e-5);
}

TEST(DeviceStream, ReadsTheHostsClockWhenItComesToIt) {
  if (device() == Device::cpu) GTEST_SKIP() << "the CPU does work when it is issued";
  const Stream stream(device());
  const auto now = [] {
    const auto time = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::nanoseconds(time).count();
  };
  const std::int64_t before = now();
  stream.device_stream()->read_clock();  // a reading that nobody waits for
  const auto first = stream.device_stream()->read_clock();
  if (stream.device_stream()->name().starts_with("fake")) {
    EXPECT_EQ(first->load(), 0) << "the fake runs nothing before the host waits";
  }
  stream.synchronize();
  const std::int64_t between = now();
  const auto second = stream.device_stream()->read_clock();
  stream.synchronize();
  EXPECT_LE(before, first->load());
  EXPECT_LE(first->load(), between);
  EXPECT_LE(between, second->load());
  EXPECT_LE(second->load(), now());
}

TEST(Readback, ReadsTheValueThatTheStreamHasAtStart) {
  const Stream stream(device());
  const OwnedTensor sum({1}, DType::f64), x({3});
  set(x, [](auto) { return 2; });
  Readback readback(stream);
  for (const double expected : {12.0, 24.0}) {
    add_sum_of_squares(stream, {x}, sum);
    readback.start(sum);
    EXPECT_EQ(readback.wait(), expected);
  }
  readback.start(sum);
  fill_zero(stream, sum);  // after the copy
  EXPECT_EQ(readback.wait(), 24);
  EXPECT_EQ(readback.wait(), 24) << "it may be asked again";
}

// The host may write at once, since the copy that was sent before has been read.
TEST(Upload, SendsWhatTheHostWroteBeforeSend) {
  const Stream stream(device());
  const OwnedTensor to({5}, DType::i32);
  Upload upload(stream, to);
  std::vector<OwnedTensor> seen;
  for (int round = 0; round < 3; ++round) {
    const Tensor host = upload.host();
    EXPECT_EQ(host.shape(), to->shape());
    for (std::int32_t i = 0; i < 5; ++i) host.data<std::int32_t>()[i] = 10 * round + i;
    upload.send();
    seen.emplace_back(Shape{5}, DType::i32);
    copy(stream, to, seen.back());
  }
  for (std::size_t round = 0; round < seen.size(); ++round) {
    HostCopy copied(seen[round]);
    for (std::int32_t i = 0; i < 5; ++i) {
      EXPECT_EQ(static_cast<const std::int32_t*>(copied.raw())[i],
                10 * static_cast<std::int32_t>(round) + i);
    }
  }
}

}  // namespace
}  // namespace masformer::test
