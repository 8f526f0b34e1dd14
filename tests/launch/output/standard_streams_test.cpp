// Standard streams that are closed, full or without a reader: training continues, and a command
// whose output is its purpose fails with a message.
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

using Words = std::vector<std::string>;

// The command under the redirections of a shell.
Words under(const std::string& redirections, const Words& words) {
  Words all{"sh", "-c", "exec \"$@\" " + redirections, "sh"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

// The command with a reader of its output that ends after one line. Prints its status.
Words before_head(const Words& words) {
  Words all{"sh", "-c", "{ \"$@\"; echo \"status $?\" >&2; } | head -n 1", "sh"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

constexpr const char* redirections[] = {"<&- >&- 2>&-", ">&-", "2>&-", "<&- 2>&- >/dev/full",
                                        ">/dev/full 2>/dev/full"};

// A run of two ranks under `masformer run`, or of one without it.
Words training_of(const Scratch& scratch, const std::string& run_dir, bool wrapped) {
  return training_words(scratch, run_dir,
                        {.tensor = wrapped ? 2 : 1, .options = {"--log.every", "1"}});
}

void expect_trained(const Scratch& scratch, const std::string& run_dir) {
  EXPECT_EQ(metrics(scratch, run_dir).size(), 20u) << run_dir;
  EXPECT_TRUE(std::filesystem::exists(checkpoint(scratch, run_dir, 20))) << run_dir;
}

TEST(Training, ContinuesWithStreamsInAnyState) {
  const Scratch scratch;
  int number = 0;
  for (const std::string redirection : redirections) {
    for (const bool wrapped : {true, false}) {
      const std::string run_dir = "run" + std::to_string(++number);
      SCOPED_TRACE(redirection + (wrapped ? " with" : " without") + " the wrapper");
      const Finished finished = run(under(redirection, training_of(scratch, run_dir, wrapped)));
      EXPECT_EQ(finished.status, 0) << finished.output;
      expect_trained(scratch, run_dir);
    }
  }
}

TEST(Training, ContinuesWithoutAReader) {
  const Scratch scratch;
  for (const bool wrapped : {true, false}) {
    const std::string run_dir = wrapped ? "wrapped" : "bare";
    const Finished finished = run(before_head(training_of(scratch, run_dir, wrapped)));
    EXPECT_NE(finished.output.find("status 0\n"), std::string::npos) << finished.output;
    expect_trained(scratch, run_dir);
  }
}

TEST(Preparing, SucceedsWithStreamsInAnyState) {
  const Scratch scratch;
  for (const std::string redirection : redirections) {
    const auto store = scratch.path("new.h5");
    const Finished finished =
        run(under(redirection, {program(), "prepare", "--input", scratch.path("text").string(),
                                "--output", store.string()}));
    EXPECT_EQ(finished.status, 0) << redirection << finished.output;
    EXPECT_TRUE(std::filesystem::remove(store)) << redirection;
  }
}

// Commands whose output is their purpose.
class ResultsCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<Scratch>();
    ASSERT_EQ(train(*scratch_, "run", {}).status, 0);
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static std::vector<Words> commands() {
    const std::string step = checkpoint(*scratch_, "run", 20).string();
    const Words eval{
        "eval", "--checkpoint",   step, "--data.path", scratch_->store().string(), "--eval.split",
        "all",  "--eval.windows", "2"};
    Words eval_json = eval, on_ranks{"run", "-n", "1", "--"};
    eval_json.emplace_back("--json");
    on_ranks.insert(on_ranks.end(), eval.begin(), eval.end());
    return {eval,
            eval_json,
            on_ranks,
            {"inspect", step},
            {"inspect", step, "--json"},
            {"inspect", step, "--compare", step},
            {"--help"},
            {"--version"},
            {"train", "--help"},
            {"inspect", "--help"},
            {"run", "--help"},
            {"run", "-n", "1", "--", "train", "--help"}};
  }
  static Finished run_under(const std::string& redirection, Words words) {
    words.insert(words.begin(), program());
    return run(under(redirection, words));
  }

 private:
  static std::unique_ptr<Scratch> scratch_;
};

std::unique_ptr<Scratch> ResultsCommand::scratch_;

TEST_F(ResultsCommand, FailsIfItCannotWriteItsOutput) {
  for (const Words& words : commands()) {
    SCOPED_TRACE(testing::PrintToString(words));
    const Finished full = run_under(">/dev/full", words);
    EXPECT_EQ(full.status, 1);
    EXPECT_EQ(full.output,
              "masformer: standard output can't be written: No space left on device\n");
    const Finished closed = run_under(">&-", words);
    EXPECT_EQ(closed.status, 1);
    EXPECT_EQ(closed.output, "masformer: standard output can't be written: Bad file descriptor\n");
    EXPECT_EQ(run_under(">/dev/full 2>/dev/full", words).status, 1);
    const Finished good = run_under("2>&-", words);
    EXPECT_EQ(good.status, 0);
    EXPECT_FALSE(good.output.empty());
  }
}

TEST_F(ResultsCommand, FailsIfNobodyReadsItsOutput) {
  Words words = commands()[4];
  words.insert(words.begin(), program());
  Words all{"sh", "-c", "{ sleep 1; \"$@\"; echo \"status $?\" >&2; } | true", "sh"};
  all.insert(all.end(), words.begin(), words.end());
  EXPECT_EQ(run(all).output,
            "masformer: standard output can't be written: Broken pipe\nstatus 1\n");
}

// A message that can't be written changes no status.
TEST_F(ResultsCommand, KeepsTheStatusOfARefusal) {
  for (const std::string redirection : {"2>&-", "2>/dev/full", "<&- >&- 2>&-"}) {
    EXPECT_EQ(run_under(redirection, {}).status, 2);
    EXPECT_EQ(run_under(redirection, {"trian"}).status, 2);
    EXPECT_EQ(run_under(redirection, {"inspect", "/nowhere"}).status, 2);
    EXPECT_EQ(run_under(redirection, {"run", "-n", "2", "--", "train"}).status, 2);
  }
}

}  // namespace
}  // namespace masformer::test
