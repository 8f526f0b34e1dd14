// A run's folder: its lock, and the files of an earlier run that are set aside.
#include "launch/output/run_directory.h"

#include <cerrno>
#include <fstream>
#include <optional>
#include <set>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "parallel/checkpoint/directory.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_directory.h"

namespace {
bool no_locks = false;  // as on a network file system without locks
}

// Replaces the C library's flock(), to simulate a file system without locks.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (!no_locks) return static_cast<int>(syscall(SYS_flock, descriptor, operation));
  errno = ENOLCK;
  return -1;
}

namespace masformer {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Names = std::set<std::string>;

void write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << content;
}

void make_checkpoint(const fs::path& run, std::int64_t step) {
  write(checkpoint_path(run, step) / "mark", std::to_string(step));
}

Names names_in(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

std::string content(const fs::path& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  return text;
}

TEST(RunDirectory, BelongsToOneJobAtATime) {
  const TemporaryDirectory temporary;
  const fs::path run = temporary / "deep" / "run";
  std::optional<RunDirectory> first(run);
  EXPECT_TRUE(fs::is_directory(run / "checkpoints"));
  EXPECT_EQ(first->metrics(), run / "metrics.jsonl");
  EXPECT_EQ(refusal([&] { RunDirectory second(run); }),
            "run.dir=" + run.string() +
                " is in use by another job: stop that job, or choose another folder");
  EXPECT_EQ(refusal([&] { RunDirectory beside(temporary / "other"); }), "");
  first.reset();
  EXPECT_EQ(refusal([&] { RunDirectory second(run); }), "");
  EXPECT_EQ(names_in(run / "checkpoints"), Names{});  // the probe file was removed
}

TEST(RunDirectory, RefusesAFolderThatCantBeLocked) {
  const TemporaryDirectory temporary;
  no_locks = true;
  const std::string said = refusal([&] { RunDirectory run(temporary / "run"); });
  no_locks = false;
  EXPECT_EQ(said, "run.dir=" + (temporary / "run").string() +
                      " can't be locked: No locks available: choose a folder on a file system "
                      "that supports locks");
}

TEST(RunDirectory, RefusesAFolderThatCantBeWritten) {
  // A path that exists already, and whether it is a file or a folder.
  const std::vector<std::pair<std::string, bool>> obstacles{{"run", true},
                                                            {"run/checkpoints", true},
                                                            {"run/checkpoints/.probe", false},
                                                            {"run/.lock", false}};
  for (const auto& [name, file] : obstacles) {
    const TemporaryDirectory temporary;
    if (file) {
      write(temporary / name, "in the way");
    } else {
      fs::create_directories(temporary / name);
    }
    const std::string said = refusal([&] { RunDirectory run(temporary / "run"); });
    EXPECT_NE(said.find((temporary / "run").string()), std::string::npos) << name;
    EXPECT_NE(said.find(" can't be written: "), std::string::npos) << name << ": " << said;
    EXPECT_TRUE(fs::exists(temporary / name));
  }
}

TEST(RunDirectory, SetsAsideWhatComesAfterAStep) {
  for (const std::int64_t step : {0, 1, 10, 15, 20, 30}) {
    const TemporaryDirectory temporary;
    const fs::path run = temporary / "run", checkpoints = run / "checkpoints";
    for (const std::int64_t saved : {1, 10, 20}) make_checkpoint(run, saved);
    write(run / "metrics.jsonl", "lines");
    write(checkpoints / "step-abc" / "mark", "no checkpoint");
    EXPECT_EQ(RunDirectory(run).set_aside_after(step).empty(), step >= 20);
    Names expected{"step-abc"};
    for (const std::int64_t saved : {1, 10, 20}) {
      const fs::path old = checkpoint_path(run, saved);
      const std::string name = (saved > step ? "set-aside-1-" : "") + old.filename().string();
      expected.insert(name);
      EXPECT_EQ(content(checkpoints / name / "mark"), std::to_string(saved));
    }
    EXPECT_EQ(names_in(checkpoints), expected) << step;
    const std::string metrics = step == 0 ? "set-aside-1-metrics.jsonl" : "metrics.jsonl";
    EXPECT_EQ(names_in(run), (Names{".lock", "checkpoints", metrics})) << step;
    for (const auto& [at, path] : list_checkpoints(run)) EXPECT_LE(at, step);
  }
}

TEST(RunDirectory, SetsNothingAsideInAnEmptyFolder) {
  const TemporaryDirectory temporary;
  const RunDirectory run(temporary / "run");
  EXPECT_EQ(run.set_aside_after(0), "");
  write(run.metrics(), "lines");
  EXPECT_EQ(run.set_aside_after(1), "");
  EXPECT_NE(run.set_aside_after(0), "");
}

TEST(RunDirectory, TakesTheNextNumberIfANameIsTaken) {
  const TemporaryDirectory temporary;
  const fs::path path = temporary / "run";
  const RunDirectory run(path);
  Names checkpoints, files{".lock", "checkpoints"};
  for (int number = 1; number <= 3; ++number) {
    for (const std::int64_t step : {5, 6}) make_checkpoint(path, step);
    write(run.metrics(), std::to_string(number));
    EXPECT_NE(run.set_aside_after(0), "");
    const std::string prefix = "set-aside-" + std::to_string(number) + "-";
    checkpoints.insert({prefix + "step-00000005", prefix + "step-00000006"});
    files.insert(prefix + "metrics.jsonl");
    EXPECT_EQ(content(path / (prefix + "metrics.jsonl")), std::to_string(number));
  }
  EXPECT_EQ(names_in(path / "checkpoints"), checkpoints);
  EXPECT_EQ(names_in(path), files);
  // If only metrics are set aside, they get an unused number, too.
  write(run.metrics(), "4");
  EXPECT_NE(run.set_aside_after(0), "");
  EXPECT_EQ(content(path / "set-aside-4-metrics.jsonl"), "4");
  // So do checkpoints of other steps: all files of a number are from one run.
  make_checkpoint(path, 9);
  EXPECT_EQ(run.set_aside_after(8), "set-aside-5");
}

}  // namespace
}  // namespace masformer
