// A step in one line of 80 columns, whatever its numbers are, and the time that is left.
#include "launch/output/progress_line.h"

#include <cmath>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace masformer {
namespace {

constexpr std::int64_t mib = 1 << 20, gib = 1 << 30;

// A step of a pipeline on large devices, late in a long run.
StepMetrics large_step() {
  return {.step = 1000000,
          .loss = 2.34567,
          .tokens_per_second = 1.2e7,
          .mfu = 0.412,
          .peak_memory_bytes = 80 * gib - 60 * mib,
          .bubble = 0.123};
}

TEST(ProgressLine, SaysAllInFullWhereThereIsRoom) {
  StepMetrics step{.step = 10,
                   .loss = 2.34567,
                   .tokens_per_second = 12345,
                   .mfu = 0.412,
                   .peak_memory_bytes = 1250 * mib};
  const Progress progress{.last_step = 1000, .held_out = {}, .seconds_left = 11100};
  EXPECT_EQ(progress_line(step, progress),
            "step 10/1000  loss 2.3457  12.3k tokens/s  41% of peak  1.2 GiB  3h05m left");
  step.bubble = 0.123;
  EXPECT_EQ(progress_line(step, {1000, 2.45678, 11100}, 120),
            "step 10/1000  loss 2.3457  held-out 2.4568  12.3k tokens/s  41% of peak  1.2 GiB  "
            "bubble 12%  3h05m left");
}

TEST(ProgressLine, ShortensWordsBeforeItDropsFields) {
  StepMetrics step = large_step();
  step.step = 120;
  EXPECT_EQ(progress_line(step, {1000, 2.45678, 11100}),
            "step 120/1000 loss 2.3457 held 2.4568 12.0M tok/s 41% peak 79.9G bub 12% 3h05m");
  EXPECT_EQ(progress_line(large_step(), {2000000, 2.45678, 360000}),
            "1000000/2000000 loss 2.3457 held 2.4568 12.0M tok/s 41% peak 79.9G bub 12% 4d04h");
}

TEST(ProgressLine, LeavesOutWhatARunDoesNotHave) {
  EXPECT_EQ(progress_line({.step = 1, .loss = 1, .tokens_per_second = 5}, {2, {}, 59.5}),
            "step 1/2  loss 1.0000  5 tokens/s  1m00s left");
}

TEST(ProgressLine, ShowsNumbersThatAreNone) {
  StepMetrics step = large_step();
  step.loss = -std::nan("");
  step.tokens_per_second = HUGE_VAL;
  EXPECT_EQ(progress_line(step, {2000000, std::nan(""), 1}, 110),
            "step 1000000/2000000  loss nan  held-out nan  inf tokens/s  41% of peak  79.9 GiB  "
            "bubble 12%  1s left");
}

TEST(ProgressLine, NeverTakesMoreThanItsColumns) {
  for (const std::int64_t number : {1, 12, 999999, 1000000, 123456789}) {
    for (const double loss : {0.0, 2.5, 12.5, 1e6, 1e30, std::nan("")}) {
      for (const double left : {0.0, 59.0, 1e4, 1e6, 1e8}) {
        StepMetrics step = large_step();
        step.step = number;
        step.loss = loss;
        step.mfu = 1.5;
        step.bubble = 1;
        step.peak_memory_bytes = 2000 * gib;
        const std::string line = progress_line(step, {2 * number, loss, left});
        if (loss < 1e6) {
          EXPECT_LE(line.size(), 80u) << line;
          EXPECT_NE(line.find("held"), std::string::npos) << line;
          EXPECT_NE(line.find(short_duration(left)), std::string::npos) << line;
        }
        const std::string narrow = progress_line(step, {2 * number, {}, left}, 80);
        if (!(loss > 1e20)) {
          EXPECT_LE(narrow.size(), 80u) << narrow;
        }
        EXPECT_NE(narrow.find("loss "), std::string::npos);
      }
    }
  }
}

TEST(ProgressLine, NumbersHaveFewCharacters) {
  const std::vector<std::pair<double, std::string>> numbers{{0, "0"},
                                                            {999.4, "999"},
                                                            {9999.4, "9999"},
                                                            {9999.5, "10.0k"},
                                                            {12345, "12.3k"},
                                                            {99949, "99.9k"},
                                                            {99950, "100k"},
                                                            {999499, "999k"},
                                                            {999500, "1.00M"},
                                                            {1.2e7, "12.0M"},
                                                            {1.5e18, "1500P"},
                                                            {HUGE_VAL, "inf"},
                                                            {-std::nan(""), "nan"}};
  for (const auto& [number, text] : numbers) EXPECT_EQ(short_number(number), text) << number;
  const std::vector<std::pair<std::int64_t, std::string>> sizes{{0, "0 B"},
                                                                {1023, "1023 B"},
                                                                {1024, "1.0 KiB"},
                                                                {1250 * mib, "1.2 GiB"},
                                                                {1023 * mib, "1023 MiB"},
                                                                {2000 * gib, "2000 GiB"}};
  for (const auto& [bytes, text] : sizes) EXPECT_EQ(short_bytes(bytes), text) << bytes;
}

TEST(ProgressLine, DurationsRoundUpAndNameTwoUnits) {
  const std::vector<std::pair<double, std::pair<std::string, std::string>>> table{
      {0, {"0 s", "0s"}},
      {0.001, {"1 s", "1s"}},
      {12, {"12 s", "12s"}},
      {59, {"59 s", "59s"}},
      {59.5, {"1 min 00 s", "1m00s"}},
      {60, {"1 min 00 s", "1m00s"}},
      {250, {"4 min 10 s", "4m10s"}},
      {3599, {"59 min 59 s", "59m59s"}},
      {3599.5, {"1 h 00 min", "1h00m"}},
      {3600, {"1 h 00 min", "1h00m"}},
      {11159, {"3 h 05 min", "3h05m"}},
      {360000, {"100 h 00 min", "4d04h"}}};
  for (const auto& [seconds, texts] : table) {
    EXPECT_EQ(duration(seconds), texts.first) << seconds;
    EXPECT_EQ(short_duration(seconds), texts.second) << seconds;
  }
}

// A slow start is forgotten after 20 steps; a slow first step is never counted.
TEST(StepPace, IsThatOfTheLastSteps) {
  StepPace pace;
  EXPECT_EQ(pace.seconds_per_step(), std::nullopt);
  double now = 100;  // the first step took 100 s
  pace.add(now);
  EXPECT_EQ(pace.seconds_per_step(), std::nullopt);
  for (int i = 0; i < 10; ++i) pace.add(now += 4);
  EXPECT_EQ(pace.seconds_per_step(), 4);
  for (int i = 0; i < 10; ++i) pace.add(now += 2);
  EXPECT_EQ(pace.seconds_per_step(), 3);
  for (int i = 0; i < 10; ++i) pace.add(now += 2);
  EXPECT_EQ(pace.seconds_per_step(), 2);
}

}  // namespace
}  // namespace masformer
