// The number of threads of a rank, from its three sources.
#include "launch/plan/threads.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "launch/options/limits.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using test::refusal;

TEST(ChooseThreads, OptionWinsOverEnvironmentAndCores) {
  EXPECT_EQ(choose_threads(3, {.omp_num_threads = "5", .usable_cores = 8, .cores = 8}), 3);
  EXPECT_EQ(choose_threads(3, {.omp_num_threads = "garbage"}), 3);
  EXPECT_EQ(choose_threads(limits::threads, {}), limits::threads);
}

TEST(ChooseThreads, TakesTheFirstNumberOfTheEnvironmentVariable) {
  for (const char* const text : {"5", " 5 ", "5,2", "5 , 2"}) {
    EXPECT_EQ(choose_threads(0, {.omp_num_threads = text, .usable_cores = 8, .cores = 8}), 5)
        << text;
  }
}

TEST(ChooseThreads, EmptyEnvironmentVariableIsNotSet) {
  for (const char* const text : {"", "  "}) {
    EXPECT_EQ(choose_threads(0, {.omp_num_threads = text, .usable_cores = 8, .cores = 8}), 8);
  }
}

TEST(ChooseThreads, RefusesAnEnvironmentVariableThatIsNotANumberOfThreads) {
  for (const std::string text :
       {"four", "0", "-2", "4097", "99999999", "4294967297", "18446744073709551617", "4.5", ",2"}) {
    EXPECT_EQ(refusal([&] { choose_threads(0, {.omp_num_threads = text.c_str()}); }),
              "OMP_NUM_THREADS=" + text +
                  " is not a number of threads from 1 to 4096: change it, unset it, or set "
                  "runtime.threads");
  }
}

TEST(ChooseThreads, SharesTheCoresOfAHostAmongItsRanks) {
  struct Case {
    int usable_cores, cores, ranks, expected;
  };
  for (const Case& c :
       std::vector<Case>{{8, 8, 1, 8},
                         {8, 8, 2, 4},
                         {8, 8, 3, 2},
                         {2, 8, 2, 2},  // the rank is bound to fewer cores than its share
                         {8, 8, 100, 1}}) {
    EXPECT_EQ(
        choose_threads(
            0, {.usable_cores = c.usable_cores, .cores = c.cores, .ranks_on_this_host = c.ranks}),
        c.expected)
        << c.usable_cores << " of " << c.cores << " cores, " << c.ranks << " ranks";
  }
}

}  // namespace
}  // namespace masformer
