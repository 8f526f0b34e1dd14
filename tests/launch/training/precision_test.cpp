// Training in bf16 against the same run in fp32.
#include <cmath>

#include <gtest/gtest.h>

#include "tests/support/has_bf16.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

TEST(Precision, LossInBf16FollowsFp32WithoutDrift) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  constexpr std::size_t steps = 200, quarter = steps / 4;
  const Scratch scratch;
  const auto losses = [&](const std::string& dtype) {
    // The learning rate is low enough that the few documents are not memorised: what then remains
    // of the loss would be noise.
    const Finished finished =
        train(scratch, dtype,
              {.tensor = 2,
               .options = {"--train.steps", std::to_string(steps), "--train.dtype", dtype,
                           "--train.lr", "1e-3", "--model.hidden", "64"}});
    EXPECT_EQ(finished.status, 0) << finished.output;
    std::vector<double> all;
    for (const auto& line : metrics(scratch, dtype)) all.push_back(line["loss"]);
    return all;
  };
  const auto exact = losses("fp32");
  const auto rounded = losses("bf16");
  ASSERT_EQ(exact.size(), steps);
  ASSERT_EQ(rounded.size(), steps);
  EXPECT_LT(exact.back(), exact.front() / 2)
      << "the loss must fall for the comparison to mean anything";
  double apart = 0;
  double first = 0, last = 0;  // means of the signed differences
  for (std::size_t i = 0; i < steps; ++i) {
    const double difference = rounded[i] / exact[i] - 1;
    apart += std::abs(difference) / double(steps);
    if (i < quarter) first += difference / double(quarter);
    if (i >= steps - quarter) last += difference / double(quarter);
  }
  RecordProperty("mean_difference", std::to_string(apart));
  EXPECT_GT(apart, 0);
  EXPECT_LT(apart, 5e-3);
  EXPECT_LT(std::abs(last - first), 5e-3);
}

}  // namespace
}  // namespace masformer::test
