// The command line of `masformer run`: how the number of ranks may be written, and what is refused.
#include "launch/supervisor/run_words.h"

#include <gtest/gtest.h>

#include "tests/support/refusal.h"

namespace masformer {
namespace {

using Words = std::vector<std::string>;

RunWords parse_before_train(Words words) {
  words.insert(words.end(), {"--", "train", "--train.lr", "1"});
  return parse_run_words(words);
}

TEST(RunWords, TakeEverySpellingOfTheNumberOfRanks) {
  for (const Words& words : std::vector<Words>{{"-n", "12"},
                                               {"--n", "12"},
                                               {"-np", "12"},
                                               {"--np", "12"},
                                               {"-c", "12"},
                                               {"--c", "12"},
                                               {"-n12"},
                                               {"-np12"},
                                               {"-c12"},
                                               {"--np=12"},
                                               {"-n=12"}}) {
    const RunWords parsed = parse_before_train(words);
    EXPECT_EQ(parsed.ranks, 12) << words[0];
    EXPECT_EQ(parsed.mpirun, Words{}) << words[0];
    EXPECT_EQ(parsed.program, (Words{"train", "--train.lr", "1"})) << words[0];
  }
}

TEST(RunWords, LeaveOtherOptionsToMpirun) {
  const Words others{"--config",         "file", "-nolocal", "-npernode", "2", "--nooversubscribe",
                     "--cpus-per-proc=2"};
  Words words = others;
  words.insert(words.begin() + 2, {"-n", "2"});
  EXPECT_EQ(parse_before_train(words).mpirun, others);
}

TEST(RunWords, LeaveTheProgramsOptionsAlone) {
  EXPECT_EQ(parse_run_words({"-n", "2", "--", "eval", "-n", "3", "--", "x"}).program,
            (Words{"eval", "-n", "3", "--", "x"}));
}

TEST(RunWords, RefuseWhatCantBeStarted) {
  const auto expect_refusal = [](const Words& words, const std::string& message) {
    EXPECT_EQ(test::refusal([&] { parse_run_words(words); }), message);
  };
  expect_refusal({"-n"}, "run: -n needs a number of ranks");
  expect_refusal({"--np", "--", "train"}, "run: --np needs a number of ranks");
  expect_refusal({"-n", "two", "--", "train"}, "run: -n two is not a whole number");
  expect_refusal({"-n", "2.5", "--", "train"}, "run: -n 2.5 is not a whole number");
  expect_refusal({"-n=", "--", "train"}, "run: -n  is not a whole number");
  expect_refusal({"-n", "0", "--", "train"}, "run: -n 0 is too small: start at least one rank");
  expect_refusal({"-n", "-1", "--", "train"}, "run: -n -1 is too small: start at least one rank");
  expect_refusal({"-c4294967297", "--", "train"},
                 "run: -c 4294967297 is too large: at most 32768 ranks");
  expect_refusal({"-n", "2", "-np", "2", "--", "train"}, "run: the number of ranks is given twice");
  expect_refusal({"--", "train"},
                 "run: give the number of ranks, as in masformer run -n 4 -- train ...");
  for (const Words& words : {Words{"-n", "2"}, Words{"-n", "2", "--"}}) {
    expect_refusal(words, "run: give the command after --, as in masformer run -n 2 -- train ...");
  }
  expect_refusal({"-n", "2", "--", "trian"},
                 "run: there is no command trian: see masformer --help");
  for (const std::string name : {"prepare", "inspect", "run"}) {
    expect_refusal(
        {"-n", "2", "--", name},
        "run: " + name + " does not run on ranks: start it as masformer " + name + " ...");
  }
}

}  // namespace
}  // namespace masformer
