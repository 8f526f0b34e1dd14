// The distance of the hosts' clocks, with clocks that are wrong on purpose.
#include "parallel/comm/clock_offset.h"

#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace masformer::test {
namespace {

std::int64_t true_time() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

// Two ranks on each host, whose clocks differ by a third of a second from one to the next. A wrong
// sign or a mistaken host would be off by that much, a delayed message by less than 20 ms.
TEST(ClockOffset, LeadsToTheClockOfTheFirstRank) {
  const int host = world().rank() / 2;
  const std::int64_t behind = std::int64_t{333'333'333} * host;
  const std::int64_t offset =
      clock_offset(world(), fmt::format("host {}", host), [&] { return true_time() - behind; });
  EXPECT_NEAR(static_cast<double>(offset), static_cast<double>(behind), 20e6);
  if (host == 0) {
    EXPECT_EQ(offset, 0) << "nothing is measured on the first rank's host";
  }
}

TEST(ClockOffset, IsTheSameOnAllRanksOfAHost) {
  const int host = world().rank() / 2;
  const std::int64_t offset = clock_offset(world(), fmt::format("host {}", host), true_time);
  const std::vector<std::string> all = world().all_gather(std::to_string(offset));
  EXPECT_EQ(all[static_cast<std::size_t>(2 * host)], std::to_string(offset));
}

}  // namespace
}  // namespace masformer::test
