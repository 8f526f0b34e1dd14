// SIGKILL at seeded random times, some of them during a save. It kills either one rank, after which
// mpirun ends all, or all processes at once, as a crash of the machine does. The run resumes from
// the newest complete checkpoint and ends bit-identical to one that was never killed.
//
// MASFORMER_KILLS is the number of kills. If a layout was not yet killed in a save, more kills
// follow.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runtime/random.h"
#include "tests/support/has_bf16.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

struct Program {
  pid_t process;
  bool is_rank;  // false: mpirun, or a process that started it
};

// The command line of a process, each word followed by a zero byte; empty if the process has ended.
std::string words_of(const fs::path& process) {
  std::ifstream file(process / "cmdline");
  std::string words;
  std::getline(file, words);
  return words;
}

// All processes that work on a run.
std::vector<Program> programs_of(const fs::path& run_dir) {
  std::vector<Program> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    pid_t process = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), process).ec != std::errc()) {
      continue;
    }
    const std::string words = words_of(entry.path());
    if (words.find(run_dir.string() + '\0') == std::string::npos) continue;
    found.push_back({process, words.starts_with(program() + '\0' + "train" + '\0')});
  }
  return found;
}

struct Kills {
  int of_one = 0, of_all = 0, within_saves = 0, hung_mpiruns = 0;

  int all() const { return of_one + of_all; }
};

// The step of the newest complete checkpoint; 0 if there is none.
int newest_checkpoint(const fs::path& run_dir) {
  int newest = 0;
  std::error_code none_yet;
  for (const auto& entry : fs::directory_iterator(run_dir / "checkpoints", none_yet)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) newest = std::max(newest, std::stoi(name.substr(5)));
  }
  return newest;
}

class Killer {
 public:
  Killer(const Scratch& scratch, const Training& training, std::uint64_t seed)
      : scratch_(scratch), training_(training), seed_(seed) {}

  // Starts or resumes the run and kills it once, some time later. Returns false if the run ended
  // first.
  bool kill_once(const std::string& run_dir) {
    const std::uint64_t attempt = attempts_++;
    const fs::path folder = scratch_.path(run_dir);
    const int newest = newest_checkpoint(folder);
    Process process(training_words(scratch_, run_dir, training_));
    const std::uint64_t when = moment(attempt);
    wait_for_steps(folder, when == 3 ? 1 : when);
    const auto programs = programs_of(folder);
    if (when == 3) wait_for_save(folder);
    std::this_thread::sleep_for(
        std::chrono::microseconds(random(attempt, 1) % (when == 3 ? 1000 : 60000)));
    const bool one = (seed_ + attempt) % 2 == 0;
    one ? kill_one_rank(programs, random(attempt, 3)) : kill_all(programs, folder);
    const Finished finished = process.wait();
    expect_resumed_from(newest, run_dir, finished.output);
    if (finished.status == 0) return false;
    EXPECT_EQ(finished.status, one ? 1 : 128 + SIGKILL) << finished.output;
    const auto says = [&](const char* text) {
      return finished.output.find(text) != std::string::npos;
    };
    // The kill ended the run, not a failure of the ranks.
    const bool hung = says("the ranks have ended but mpirun has not");
    if (one) {
      EXPECT_TRUE(says("mpirun ended with status 137") || hung) << finished.output;
    }
    if (hung) ++kills_.hung_mpiruns;
    ++(one ? kills_.of_one : kills_.of_all);
    if (holds_half_a_save(folder)) ++kills_.within_saves;
    return true;
  }

  // Trains the run to its last step.
  void finish(const std::string& run_dir) {
    const int newest = newest_checkpoint(scratch_.path(run_dir));
    const Finished finished = train(scratch_, run_dir, training_);
    ASSERT_EQ(finished.status, 0) << finished.output;
    expect_resumed_from(newest, run_dir, finished.output);
  }

  const Kills& kills() const { return kills_; }
  int attempts() const { return static_cast<int>(attempts_); }
  // The number of attempts whose output shows that they resumed from the newest checkpoint.
  int resumed() const { return resumed_; }

 private:
  // When to kill. 0: during start; 1 or 2: in one of the next steps; 3: in a save. Random, except
  // that the first kill comes after a checkpoint, and the next ones aim at saves until one was hit.
  std::uint64_t moment(std::uint64_t attempt) const {
    if (attempt == 0) return 2;
    return kills_.within_saves == 0 ? 3 : random(attempt, 0) % 4;
  }

  // Checks the step that the run resumed from, if the output has a complete line about it, or a
  // step.
  void expect_resumed_from(int step, const std::string& run_dir, const std::string& output) {
    const std::string says = "\nresumes from ";
    const auto line = output.find(says);
    const bool resumes =
        line != std::string::npos && output.find('\n', line + 1) != std::string::npos;
    if (!resumes && output.find("\nstep ") == std::string::npos) return;
    ASSERT_EQ(resumes, step > 0) << output;
    if (!resumes) return;
    EXPECT_EQ(output.find(says + checkpoint(scratch_, run_dir, step).string() + ","), line)
        << "step " << step << "\n"
        << output;
    ++resumed_;
  }

  std::uint64_t random(std::uint64_t attempt, std::uint64_t what) const {
    return mix(seed_, 4 * attempt + what);
  }

  static std::size_t steps_of(const fs::path& folder) {
    std::ifstream file(folder / "metrics.jsonl");
    return static_cast<std::size_t>(
        std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n'));
  }

  // Waits until the ranks have started and done `more` steps, or have ended.
  static void wait_for_steps(const fs::path& folder, std::size_t more) {
    const std::size_t before = steps_of(folder);
    const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
    for (int i = 0; i < 3000 && !any_rank(folder); ++i) pause();
    for (int i = 0; i < 10000 && steps_of(folder) < before + more && any_rank(folder); ++i) pause();
  }

  static bool any_rank(const fs::path& folder) {
    return std::ranges::any_of(programs_of(folder), &Program::is_rank);
  }

  static void wait_for_save(const fs::path& folder) {
    for (int i = 0; i < 20000 && !holds_half_a_save(folder); ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  static void kill_one_rank(std::vector<Program> programs, std::uint64_t which) {
    std::erase_if(programs, [](const Program& program) { return !program.is_rank; });
    if (!programs.empty()) kill(programs[which % programs.size()].process, SIGKILL);
  }

  // Repeats the kills, because mpirun may start ranks meanwhile.
  static void kill_all(std::vector<Program> programs, const fs::path& folder) {
    for (; !programs.empty(); programs = programs_of(folder)) {
      for (const Program& program : programs) kill(program.process, SIGKILL);
    }
  }

  static bool holds_half_a_save(const fs::path& folder) {
    if (!fs::exists(folder / "checkpoints")) return false;
    return std::ranges::any_of(fs::directory_iterator(folder / "checkpoints"), [](const auto& e) {
      return e.path().filename().string().starts_with(".writing-");
    });
  }

  const Scratch& scratch_;
  Training training_;
  std::uint64_t seed_, attempts_ = 0;
  int resumed_ = 0;
  Kills kills_;
};

struct Case {
  const char* name;
  Training layout;
};

constexpr int cases = 3;
// Two data ranks each hold a share of the optimizer's state and of the masters.
const Case all_cases[cases] = {
    {"PipelineAndTensor", {.tensor = 2, .pipeline = 2}},
    {"DataAndTensor", {.tensor = 2, .data = 2}},
    {"DataAndTensorInBf16", {.tensor = 2, .data = 2, .options = {"--train.dtype", "bf16"}}}};

class Kill : public testing::TestWithParam<int> {
 protected:
  // The number of kills for this layout.
  int wanted() const {
    const char* const text = std::getenv("MASFORMER_KILLS");
    const int all = text == nullptr ? 12 : std::stoi(text);
    return (GetParam() + 1) * all / cases - GetParam() * all / cases;
  }

  // Checks that the run's files are those of a run that was never killed.
  void expect_whole(const std::string& run_dir) const {
    EXPECT_EQ(timeless_metrics(scratch_, run_dir), timeless_metrics(scratch_, "whole"));
    EXPECT_EQ(
        worst_difference(checkpoint(scratch_, run_dir, 20), checkpoint(scratch_, "whole", 20)), 0);
    for (const auto& entry : fs::directory_iterator(scratch_.path(run_dir) / "checkpoints")) {
      EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
    }
  }

  Scratch scratch_;
};

TEST_P(Kill, LeavesTheResultUnchangedAtAnyTime) {
  Training busy = all_cases[GetParam()].layout;
  if (busy.in_bf16() && !has_bf16()) GTEST_SKIP() << no_bf16;
  ASSERT_EQ(train(scratch_, "whole", busy).status, 0);
  for (const char* const word : {"--checkpoint.every", "1", "--checkpoint.keep", "2"}) {
    busy.options.emplace_back(word);
  }
  Killer killer(scratch_, busy, static_cast<std::uint64_t>(GetParam()));
  int runs = 0;
  const auto run_dir = [&] { return fmt::format("killed-{}", runs); };
  const Kills& kills = killer.kills();
  while (kills.all() < wanted() || kills.within_saves == 0) {
    ASSERT_LT(killer.attempts(), 4 * wanted() + 12) << kills.within_saves << " within a save";
    if (killer.kill_once(run_dir())) continue;
    expect_whole(run_dir());
    ++runs;
  }
  killer.finish(run_dir());
  expect_whole(run_dir());
  EXPECT_GT(killer.resumed(), 0);
  fmt::print(
      "{} kills of one rank ({} left mpirun hanging), {} of all; {} within a save; {} runs, seen "
      "to "
      "resume {} times\n",
      kills.of_one, kills.hung_mpiruns, kills.of_all, kills.within_saves, runs + 1,
      killer.resumed());
}

INSTANTIATE_TEST_SUITE_P(Layouts, Kill, testing::Range(0, cases),
                         [](const auto& index) { return all_cases[index.param].name; });

}  // namespace
}  // namespace masformer::test
