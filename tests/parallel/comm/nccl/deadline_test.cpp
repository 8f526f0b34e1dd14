// Which of several operations a rank reports as late.
#include "parallel/comm/nccl/deadline.h"

#include <array>

#include <gtest/gtest.h>

namespace masformer::nccl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds timeout(10);
const Clock::time_point start = Clock::time_point(seconds(1000));

class FindOverdue : public testing::Test {
 protected:
  Deadline* at(Clock::duration since_start) {
    // The connection of the later operation is queried first.
    const std::array<Deadline*, 2> deadlines{&second_, &first_};
    return find_overdue(deadlines, start + since_start, start + since_start);
  }

  Deadline first_{start, timeout};
  Deadline second_{start + milliseconds(1), timeout};
};

TEST_F(FindOverdue, ReturnsNullBeforeTheTimeout) {
  first_.reached = second_.reached = true;
  EXPECT_EQ(at(seconds(0)), nullptr);
  EXPECT_EQ(at(timeout), nullptr);
}

TEST_F(FindOverdue, ReturnsTheOperationStartedFirstIfSeveralAreLate) {
  first_.reached = second_.reached = true;
  at(seconds(0));
  EXPECT_EQ(at(timeout + milliseconds(1)), &first_);
  EXPECT_EQ(at(3 * timeout), &first_);
}

TEST_F(FindOverdue, CountsAnOperationAsBegunOnceALaterOneIs) {
  second_.reached = true;  // the first was queried just before the stream reached both
  at(seconds(0));
  first_.reached = true;
  EXPECT_EQ(at(timeout + milliseconds(1)), &first_);
}

TEST_F(FindOverdue, IgnoresOperationsThatTheStreamHasNotReached) {
  at(seconds(0));
  EXPECT_EQ(at(3 * timeout), nullptr);
  EXPECT_FALSE(first_.at || second_.at);
}

TEST_F(FindOverdue, CountsFromTheFirstQueryAfterTheBegin) {
  first_.reached = true;
  EXPECT_EQ(at(3 * timeout), nullptr) << "the host did not ask for longer than the timeout";
  EXPECT_EQ(at(4 * timeout), nullptr);
  EXPECT_EQ(at(4 * timeout + milliseconds(1)), &first_);
}

TEST_F(FindOverdue, IgnoresPausesDuringQueries) {
  first_.reached = second_.reached = true;
  const std::array<Deadline*, 2> deadlines{&first_, &second_};
  const Clock::time_point resumed = start + 2 * timeout;
  EXPECT_EQ(find_overdue(deadlines, start, resumed), nullptr);
  EXPECT_EQ(find_overdue(deadlines, resumed + timeout, resumed + 9 * timeout), nullptr);
}

// It waited for an earlier operation of its connection, which has ended since.
TEST_F(FindOverdue, SparesAnEarlierOperationThatBeganLater) {
  const std::array<Deadline*, 1> only_second{&second_};
  first_.reached = second_.reached = true;
  find_overdue(only_second, start, start);
  at(seconds(5));
  EXPECT_EQ(at(timeout + milliseconds(1)), &second_);
}

}  // namespace
}  // namespace masformer::nccl
