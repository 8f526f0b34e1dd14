// The progress output: plain lines, one for each step that is due, or one line updated in place.
#include "launch/output/console.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <set>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/option_sources.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using test::lines_of;

// What `act` prints on standard output.
template <class Act>
std::string printed(const Act& act) {
  testing::internal::CaptureStdout();
  act();
  return testing::internal::GetCapturedStdout();
}

struct Cadence {
  std::int64_t every, first, last, evaluated;  // evaluated: a step with a held-out loss; 0: none
  std::set<std::int64_t> due;
};

class PlainLines : public testing::TestWithParam<Cadence> {};

TEST_P(PlainLines, ArePrintedForTheStepsThatAreDue) {
  const Cadence& cadence = GetParam();
  for (const LiveLine live :
       {LiveLine::off, LiveLine::automatic}) {  // the captured output is not a terminal
    const std::string text = printed([&] {
      Console console(live, cadence.every, cadence.first, cadence.last);
      for (std::int64_t step = cadence.first; step <= cadence.last; ++step) {
        StepMetrics metrics{.step = step, .loss = 1.25, .tokens_per_second = 1234.4};
        if (step == cadence.evaluated) metrics.eval_loss = 2.5;
        console.step(metrics);
      }
    });
    std::set<std::int64_t> seen;
    for (const std::string& line : lines_of(text)) {
      const std::int64_t step = std::atoll(line.c_str() + 5);
      EXPECT_TRUE(seen.insert(step).second) << line;
      const std::string begin =
          fmt::format("step {}/{}  loss 1.2500{}  1234 tokens/s  ", step, cadence.last,
                      step == cadence.evaluated ? "  held-out 2.5000" : "");
      EXPECT_TRUE(line.starts_with(begin)) << line;
      EXPECT_TRUE(line.ends_with(" left")) << line;
      if (step == cadence.last) {
        EXPECT_EQ(line, begin + "0s left");
      }
    }
    EXPECT_EQ(seen, cadence.due) << name_of(live);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cadences, PlainLines,
    testing::Values(Cadence{10, 1, 35, 0, {1, 10, 20, 30, 35}},
                    Cadence{10, 8, 20, 0, {8, 10, 20}},     // resumed
                    Cadence{10, 1, 20, 7, {1, 7, 10, 20}},  // evaluated between
                    Cadence{5, 5, 10, 10, {5, 10}},         // due for several reasons, printed once
                    Cadence{1, 3, 5, 0, {3, 4, 5}}, Cadence{100, 4, 4, 0, {4}}));

TEST(LiveLine, ChangesInPlaceAndEndsOnce) {
  const std::string text = printed([] {
    Console console(LiveLine::on, 10, 1, 3);
    for (std::int64_t step = 1; step <= 3; ++step) console.step({.step = step, .loss = 1});
  });
  std::vector<std::size_t> starts;
  for (std::size_t at = text.find("\r\033[K"); at != std::string::npos;
       at = text.find("\r\033[K", at + 1)) {
    starts.push_back(at);
    EXPECT_EQ(text.substr(at + 4, 7), fmt::format("step {}/", starts.size()));
  }
  EXPECT_EQ(starts.size(), 3u);  // every step, whatever log.every says
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_TRUE(text.ends_with("left\n"));
}

TEST(LiveLine, DoesNotOverwriteLoggedLines) {
  const std::string text = printed([] {
    Console console(LiveLine::on, 10, 1, 9);
    console.log("begin");
    console.step({.step = 1});
    console.log("saved");
    console.log("and pruned");
    console.step({.step = 2});
  });
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 5u) << text;
  EXPECT_EQ(lines[0], "begin");
  EXPECT_TRUE(lines[1].starts_with("\r\033[Kstep 1/9"));
  EXPECT_EQ(lines[2], "saved");
  EXPECT_EQ(lines[3], "and pruned");
  EXPECT_TRUE(lines[4].starts_with("\r\033[Kstep 2/9"));
  EXPECT_TRUE(text.ends_with("\n"));
}

TEST(LiveLine, StaysIfItShowsAnEvaluation) {
  const std::string text = printed([] {
    Console console(LiveLine::on, 10, 1, 9);
    console.step({.step = 1, .eval_loss = 2.5});
    console.step({.step = 2});
    console.step({.step = 3});
  });
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 2u) << text;
  EXPECT_NE(lines[0].find("held-out 2.5000"), std::string::npos);
  EXPECT_NE(lines[1].find("step 2/9"), std::string::npos);
}

TEST(LiveLine, LeavesNoEmptyLineIfNoneIsOpen) {
  EXPECT_EQ(printed([] { Console console(LiveLine::on, 10, 1, 9); }), "");
  EXPECT_EQ(printed([] { Console(LiveLine::on, 10, 1, 9).log("done"); }), "done\n");
  EXPECT_EQ(printed([] { Console(LiveLine::off, 10, 1, 9).log("done"); }), "done\n");
}

// Standard output on a pseudo-terminal while the object lives.
class Terminal {
 public:
  Terminal() : ours_(posix_openpt(O_RDWR | O_NOCTTY)), saved_(dup(STDOUT_FILENO)) {
    std::fflush(stdout);
    if (ours_ < 0 || grantpt(ours_) != 0 || unlockpt(ours_) != 0) return;
    const int theirs = open(ptsname(ours_), O_RDWR | O_NOCTTY);
    if (theirs < 0) return;
    works_ = dup2(theirs, STDOUT_FILENO) >= 0;
    close(theirs);
  }
  ~Terminal() {
    std::fflush(stdout);
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
    if (ours_ >= 0) close(ours_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool works() const { return works_; }
  // Reads up to the end of a line, which the terminal delivers in pieces.
  std::string shown() const {
    std::fflush(stdout);
    std::string text;
    pollfd ready{.fd = ours_, .events = POLLIN, .revents = 0};
    while (!text.ends_with('\n') && poll(&ready, 1, 5000) == 1) {
      char piece[256];
      const auto size = read(ours_, piece, sizeof piece);
      if (size <= 0) break;
      text.append(piece, static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  int ours_, saved_;
  bool works_ = false;
};

TEST(LiveLine, IsTheDefaultOnATerminal) {
  std::string automatic, plain;
  {
    const Terminal terminal;
    if (!terminal.works()) GTEST_SKIP() << "this machine has no pseudo-terminals";
    Console(LiveLine::automatic, 10, 1, 9).step({.step = 2});
    automatic = terminal.shown();
    Console(LiveLine::off, 10, 1, 9).step({.step = 1});
    plain = terminal.shown();
  }
  EXPECT_TRUE(automatic.starts_with("\r\033[Kstep 2/9")) << automatic;
  EXPECT_TRUE(plain.starts_with("step 1/9")) << plain;
}

// Under `masformer run`, it matters whether the wrapper's output is a terminal, not mpirun's.
TEST(LiveLine, IsTheDefaultIfTheWrapperSaysThatAPersonWatches) {
  const auto shows_live = [](LiveLine live) {
    return printed([&] { Console(live, 10, 1, 9).step({.step = 1}); }).starts_with("\r\033[K");
  };
  const test::Variable rank("OMPI_COMM_WORLD_SIZE", "2");
  for (const bool watched : {true, false}) {
    const test::Variable told("MASFORMER_WATCHED", watched ? "yes" : "no");
    EXPECT_EQ(shows_live(LiveLine::automatic), watched);
    EXPECT_TRUE(shows_live(LiveLine::on));
    EXPECT_FALSE(shows_live(LiveLine::off));
  }
}

TEST(PlainLines, PrintANanWithoutASign) {
  const std::string text = printed([] {
    Console(LiveLine::off, 1, 1, 9)
        .step({.step = 1, .loss = -std::nan(""), .eval_loss = -std::nan("")});
  });
  EXPECT_TRUE(text.starts_with("step 1/9  loss nan  held-out nan  ")) << text;
}

TEST(LiveLine, KeepsShowingTheLastHeldOutLoss) {
  const std::string text = printed([] {
    Console console(LiveLine::on, 10, 1, 9);
    console.step({.step = 1});
    console.step({.step = 2, .eval_loss = 2.5});
    console.step({.step = 3});
  });
  EXPECT_EQ(text.find("held-out"), text.find("held-out 2.5000  0 tokens/s")) << text;
  EXPECT_NE(text.rfind("step 3/9  loss 0.0000  held-out 2.5000"), std::string::npos) << text;
}

TEST(Summary, CountsWhatThisProcessTrained) {
  Console console(LiveLine::off, 100, 11, 30);
  EXPECT_EQ(console.summary(), "");
  const std::string lines = printed([&] {
    for (std::int64_t step = 11; step <= 30; ++step) {
      StepMetrics metrics{.step = step, .loss = 2.25, .tokens = 1000 * step, .step_seconds = 0.5};
      if (step == 20) metrics.eval_loss = 2.5;
      console.step(metrics);
    }
  });
  EXPECT_EQ(console.summary(),
            "      20 steps in 1 s: 20.0k tokens, 2000 tokens/s\n"
            "      loss 2.2500 at step 30; held-out 2.5000 at step 20");
}

}  // namespace
}  // namespace masformer
