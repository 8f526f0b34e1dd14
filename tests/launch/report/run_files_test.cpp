// Reading a run's folder, whole or in pieces.
#include "launch/report/run_files.h"

#include <chrono>
#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include "launch/training/run_recorder.h"
#include "runtime/error.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

using Remarks = std::vector<std::string>;

TEST(RunFiles, ReadMetricsByColumns) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "metrics.jsonl")
      << R"({"step":1,"loss":4.5,"sent_bytes":{"tensor":7},"by":{"data":{"send":1}}})"
      << "\n{\"step\":3,\"loss\":null,\"eval_loss\":4.25}\n"
      << "{\"step\":2,\"loss\":9}\n{\"step\":2,\"loss\":0.1}\n"
      << "{\"step\":4,\"loss\":NaN}\n{\"step\":5,\"loss\":1e999}\n{\"step\":0}\n[]\n{\"step\":6,";
  Remarks remarks;
  const MetricColumns metrics = read_metrics(directory / "metrics.jsonl", remarks);
  EXPECT_EQ(metrics.steps, (std::vector<double>{1, 2, 3}));
  const std::vector<double> loss = metrics.column("loss");
  EXPECT_EQ(loss[0], 4.5);
  EXPECT_EQ(loss[1], 0.1) << "the last line of a step counts";
  EXPECT_TRUE(std::isnan(loss[2]));
  EXPECT_EQ(metrics.column("sent_bytes.tensor")[0], 7);
  EXPECT_TRUE(std::isnan(metrics.column("sent_bytes.tensor")[2]));
  EXPECT_TRUE(std::isnan(metrics.column("eval_loss")[0]));
  EXPECT_EQ(metrics.column("eval_loss")[2], 4.25);
  EXPECT_EQ(metrics.column("unknown").size(), 3U);
  EXPECT_EQ(remarks, Remarks{"metrics.jsonl: 5 damaged lines are left out."});
}

TEST(RunFiles, SayWhatIsMissingOrDamaged) {
  const TemporaryDirectory directory;
  EXPECT_THROW(read_run(directory.path()), UsageError);
  EXPECT_THROW(read_run(directory / "nowhere"), UsageError);
  std::ofstream(directory / "plan.json") << "{\"layout\":";
  std::ofstream(directory / "events.jsonl") << "{\"time\":1,\"event\":\"stop\",\"step\":2}\n{\"ti";
  std::filesystem::create_directories(directory / "recordings");
  std::ofstream(kept_recording(directory.path(), 0)) << "not a recording";
  const RunFiles run = read_run(directory.path());
  EXPECT_EQ(run.events.size(), 1U);
  EXPECT_TRUE(run.plan.is_null());
  ASSERT_EQ(run.remarks.size(), 5U);
  EXPECT_EQ(run.remarks[0], "metrics.jsonl is missing.");
  EXPECT_EQ(run.remarks[1], "events.jsonl: 1 damaged line is left out.");
  EXPECT_EQ(run.remarks[2], "plan.json is damaged.");
  EXPECT_NE(run.remarks[3].find("The recording of rank 0 is left out"), std::string::npos);
}

TEST(RunFiles, HaveShortLabelsIfTheseDiffer) {
  const TemporaryDirectory directory;
  for (const char* const name : {"a/run", "b/run", "b/other"}) {
    std::filesystem::create_directories(directory / name);
    std::ofstream(directory / name / "plan.json") << "{}";
  }
  const std::string first = (directory / "a/run").string(), second = (directory / "b/run").string();
  const std::string other = (directory / "b/other/").string();
  EXPECT_EQ(read_runs({first, other})[0].label, "run");
  EXPECT_EQ(read_runs({first, other})[1].label, "other");
  EXPECT_EQ(read_runs({first, second})[1].label, second);
}

TEST(RunFiles, TakeTheRecordingsOfARunThatWasKilled) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "plan.json") << "{}";
  const Mesh mesh{.pipe = 2};
  for (const int rank : {0, 1}) {
    RunRecorder old(rank, mesh, directory.path());
    old.keep();
  }
  RunRecorder killed(1, mesh, directory.path());
  killed.get()->begin({.micro_batch = 4, .name = killed.get()->name("forward")});
  const RunFiles run = read_run(directory.path());
  ASSERT_EQ(run.recordings.size(), 2U);
  EXPECT_EQ(run.recordings[0].records.size(), 0U);
  ASSERT_EQ(run.recordings[1].records.size(), 1U);
  EXPECT_EQ(run.recordings[1].records[0].end, Record::running);
  // It went on elsewhere, and ended.
  std::filesystem::last_write_time(
      kept_recording(directory.path(), 1),
      std::filesystem::last_write_time(killed.get()->path()) + std::chrono::seconds(1));
  EXPECT_EQ(read_run(directory.path()).recordings[1].records.size(), 0U);
}

TEST(RunFiles, LeaveOutRecordingsOfAnEarlierJobWithMoreRanks) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "plan.json") << "{}";
  const auto keep = [&](int rank, const Mesh& mesh) {
    RunRecorder(rank, mesh, directory.path()).keep();
  };
  for (const int rank : {0, 1, 2, 3}) keep(rank, {.pipe = 4});
  keep(0, {.pipe = 2});
  const RunFiles run = read_run(directory.path());
  EXPECT_EQ(run.recordings.size(), 1U);
  EXPECT_EQ(run.remarks.back(), "Recordings of 1 of 2 ranks are missing.");
}

}  // namespace
}  // namespace masformer::test
