// The page that a run prints at its start: its groups, its reasons, and its size.
#include "launch/training/start_page.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launch/plan/describe.h"
#include "tests/support/refusal.h"
#include "tests/support/training.h"

namespace masformer {
namespace {

using namespace test;

TEST(StartPage, BreaksLongLinesAtSpaces) {
  EXPECT_EQ(wrapped("model     aaa bbb ccc\nshort\n\n", 14),
            "model     aaa\n          bbb\n          ccc\nshort\n\n");
  EXPECT_EQ(wrapped("data      /a/long/path\n", 12), "data      /a/long/path\n");
  EXPECT_EQ(wrapped("data      /a/long/path more\n", 16), "data      /a/long/path more\n");
}

// The lines before the first step.
std::vector<std::string> page_of(const Finished& finished) {
  std::vector<std::string> page;
  for (const std::string& line : lines_of(finished.output)) {
    if (line.starts_with("step ")) return page;
    page.push_back(line);
  }
  return page;
}

bool has_line(const std::vector<std::string>& page, const std::string& begin) {
  return std::ranges::any_of(page,
                             [&](const std::string& line) { return line.starts_with(begin); });
}

TEST(StartPage, SaysWhatWasChosenAndWhy) {
  const Scratch scratch;
  const Finished finished = train(
      scratch, "run",
      {.pipeline = 2,
       .context = 2,
       .options = {"--train.steps", "1", "--parallel.schedule", "auto", "--plan.memory_gib", "4"}});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const auto page = page_of(finished);
  for (const char* const begin :
       {"model     4 layers, hidden 32, ", "layout    pipeline 2 x data 1 x context 2 x tensor 1",
        "compute   fp32; ", "data      ", "partition auto", "          stage 0: layers 0-",
        "schedule  auto: the order of a fixed schedule, as no faster one",
        "recompute auto: nothing, as every stage fits in 4.00 GiB per rank (plan.memory_gib)",
        "context   24 tokens per rank in the order ",
        "          auto: the order of least cost to the slowest rank; full layers by ",
        "memory      MiB per rank, by stage", "threads   1 per rank (runtime.threads); fp32 peak ",
        "matmul    fp32 ", "output    "}) {
    EXPECT_TRUE(has_line(page, begin)) << begin << "\n" << finished.output;
  }
  EXPECT_EQ(std::ranges::count(page, ""), 3) << finished.output;  // four groups
  EXPECT_LE(page.size(), 30u) << finished.output;
}

// Many stages, context ranks and kinds of spans: as long as a page can be.
TEST(StartPage, FitsOnAScreenWhateverTheLayout) {
  Options options;
  options.model.spans = "full*8,window:64*8,block:64*8,window:128*8";
  options.model.heads = 4;
  options.train.sequence = 1024;
  options.train.global_batch = 64;
  options.train.warmup_steps = 2000;
  options.parallel.pipeline = 16;
  options.parallel.context = 16;
  const RunPlan plan = make_run_plan(options, 256, 300);
  const std::string page = wrapped(describe_model(plan) + "\n" + describe_choices(plan, options) +
                                   "\n" + describe_memory(plan, Purpose::training, 4));
  const auto lines = lines_of(page);
  EXPECT_LE(lines.size(), 24u) << page;  // data, machine and output take up to six
  for (const std::string& line : lines) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_NE(page.find("          ... 13 more stages\n"), std::string::npos) << page;
  EXPECT_NE(page.find("stage 15: "), std::string::npos) << page;
  // A refusal shows all stages.
  EXPECT_EQ(lines_of(describe_memory(plan, Purpose::training)).size(), 17u);
}

}  // namespace
}  // namespace masformer
