// Runs of which one rank is disturbed from outside: it is slowed down, or its memory ends.
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <sys/resource.h>
#include <thread>

#include <gtest/gtest.h>

#include "launch/output/events.h"
#include "launch/training/device_choice.h"
#include "launch/training/run_recorder.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

// Waits until `holds` says so, or for two minutes; calls `meanwhile` again and again.
void wait_until(const std::function<bool()>& holds, const std::function<void()>& meanwhile) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!holds() && std::chrono::steady_clock::now() < deadline) meanwhile();
}

void sleep_milliseconds(int count) {
  std::this_thread::sleep_for(std::chrono::milliseconds(count));
}

// Waits for the run's first step. Returns the process id of rank `rank`.
pid_t rank_in_training(const Scratch& scratch, const Process& process, int rank) {
  wait_until([&] { return !metrics(scratch, "run").empty(); }, [] { sleep_milliseconds(10); });
  return process.rank(rank);
}

bool has_warning(const fs::path& run_dir, const std::string& text) {
  for (const Event& event : read_events(run_dir / "events.jsonl").events) {
    if (event.kind != EventKind::warning) continue;
    if (event.fields.at("text").get<std::string>().find(text) != std::string::npos) return true;
  }
  return false;
}

std::string place_of_second_rank() {
  return host_name() + " (stage 0, data 1, context 0, tensor 0)";
}

// The rank may run for a fifth of the time only, several turns in a step.
TEST(DisturbedRank, IsNamedAsSlowInTheLogAndTheReport) {
  const Scratch scratch;
  const fs::path run_dir = scratch.path("run");
  // The ranks compute much longer than they exchange messages, so most of the time that one loses
  // is its own.
  const std::vector<std::string> endless{"--train.sequence", "192", "--train.steps", "1000000"};
  Process process(launched_words(scratch, "run", {.data = 2, .options = endless}));
  const pid_t rank = rank_in_training(scratch, process, 1);
  ASSERT_GT(rank, 0);
  const std::string says = "rank 1 on " + place_of_second_rank() + " is slow: it computes ";
  const auto run_for_a_fifth = [&] {
    kill(rank, SIGSTOP);
    sleep_milliseconds(16);
    kill(rank, SIGCONT);
    sleep_milliseconds(4);
  };
  wait_until([&] { return has_warning(run_dir, says); }, run_for_a_fifth);
  process.signal(SIGTERM);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
  EXPECT_NE(finished.output.find("warning: " + says), std::string::npos) << finished.output;
  ASSERT_EQ(run({program(), "report", run_dir.string()}).status, 0);
  std::ifstream page(run_dir / "report.html");
  const std::string text{std::istreambuf_iterator<char>(page), {}};
  EXPECT_NE(text.find(says), std::string::npos);
}

#ifndef MASFORMER_SANITIZED
// Ranks that are killed leave theirs.
void remove_recordings(const fs::path& run_dir) {
  const LiveRecordings live(run_dir);
  for (const auto& entry : fs::directory_iterator(live.folder)) {
    if (entry.path().filename().string().starts_with(live.prefix)) fs::remove(entry.path());
  }
}

// Sanitizers end the process themselves when they get no memory.
TEST(DisturbedRank, NamesItselfWhenItsMemoryEnds) {
  const Scratch scratch;
  // A batch's vectors are larger than what malloc() keeps, so that each of them is asked of the
  // system.
  const std::vector<std::string> large{
      "--train.sequence", "40000",    "--train.global_batch", "2",
      "--model.spans",    "window:8", "--train.steps",        "1000000"};
  Process process(launched_words(scratch, "run", {.data = 2, .options = large}),
                  {{"GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=16384"}});
  const pid_t rank = rank_in_training(scratch, process, 1);
  ASSERT_GT(rank, 0);
  const rlimit nothing_more{0, 0};
  ASSERT_EQ(prlimit(rank, RLIMIT_DATA, &nothing_more, nullptr), 0);
  const Finished finished = process.wait();
  remove_recordings(scratch.path("run"));
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(
      finished.output.find("masformer: rank 1: out of memory on " + place_of_second_rank() + ": "),
      std::string::npos)
      << finished.output;
  EXPECT_NE(finished.output.find(" GiB are available there; leave the ranks more"),
            std::string::npos)
      << finished.output;
}
#endif

}  // namespace
}  // namespace masformer::test
