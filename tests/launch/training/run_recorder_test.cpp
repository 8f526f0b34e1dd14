// The recordings of training runs: what each rank did, kept in the run's folder.
#include "launch/training/run_recorder.h"

#include <fstream>
#include <map>
#include <tuple>

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> live_files(const fs::path& run_dir) {
  const LiveRecordings live(run_dir);
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(live.folder)) {
    if (entry.path().filename().string().starts_with(live.prefix)) found.push_back(entry.path());
  }
  return found;
}

const std::string& text(const Recording& recording, RecordName name) {
  return recording.names[name];
}

// The actions of a step, in order.
std::vector<Action> actions_of(const Recording& recording, std::int64_t step) {
  std::vector<Action> actions;
  for (const Record& record : recording.records) {
    const auto kind = find_enum<ActionKind>(text(recording, record.fields.name));
    if (record.step != step || !kind) continue;
    actions.push_back({*kind, record.fields.micro_batch, record.fields.chunk});
  }
  return actions;
}

using Message = std::tuple<std::uint64_t, std::int64_t>;  // which of the link's, and its bytes

std::vector<Message> messages_of(const Recording& recording, const std::string& name) {
  std::vector<Message> messages;
  for (const Record& record : recording.records) {
    if (text(recording, record.fields.name) != name) continue;
    if (text(recording, record.fields.group) != "pipeline") continue;
    messages.emplace_back(messages.size(), record.fields.bytes);
  }
  return messages;
}

TEST(RunRecorder, KeepsWhatEachRankDid) {
  const Scratch scratch;
  const Finished finished =
      train(scratch, "run", {.pipeline = 2, .options = {"--train.steps", "3"}});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const Schedule schedule = one_forward_one_backward(2, 8);
  std::map<int, Recording> ranks;
  for (const int rank : {0, 1}) {
    const Recording& recording = ranks[rank] =
        read_recording(kept_recording(scratch.path("run"), rank));
    EXPECT_EQ(recording.rank, (RecordedRank{rank, 2, rank, 0, 0, 0}));
    for (const std::int64_t step : {1, 2, 3}) {
      EXPECT_EQ(actions_of(recording, step), schedule.actions[static_cast<std::size_t>(rank)]);
    }
    for (const Record& record : recording.records) {
      EXPECT_GE(record.end, record.begin) << text(recording, record.fields.name);
    }
  }
  EXPECT_EQ(messages_of(ranks[0], "send").size(), 3U * 8);
  EXPECT_EQ(messages_of(ranks[0], "send"), messages_of(ranks[1], "receive"));
  EXPECT_EQ(messages_of(ranks[1], "send"), messages_of(ranks[0], "receive"));
  EXPECT_EQ(live_files(scratch.path("run")), std::vector<fs::path>{});
}

TEST(RunRecorder, LeavesEvaluationsOutOfSteps) {
  const Scratch scratch;
  const Finished finished = train(
      scratch, "run", {.pipeline = 2, .options = {"--train.steps", "2", "--eval.every", "1"}});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const Recording recording = read_recording(kept_recording(scratch.path("run"), 1));
  const std::vector<Action> actions = one_forward_one_backward(2, 8).actions[1];
  for (const std::int64_t step : {1, 2}) EXPECT_EQ(actions_of(recording, step), actions);
  const std::vector<Action> evaluated = actions_of(recording, 0);
  EXPECT_FALSE(evaluated.empty());
  EXPECT_TRUE(is_evaluation(evaluated));
}

TEST(RunRecorder, KeepsNothingOfAJobThatDoesNotOwnTheFolder) {
  const TemporaryDirectory directory;
  {
    RunRecorder refused(0, Mesh{}, directory.path());
    ASSERT_NE(refused.get(), nullptr);
    EXPECT_EQ(live_files(directory.path()).size(), 1U);
  }
  EXPECT_FALSE(fs::exists(directory / "recordings"));
  EXPECT_EQ(live_files(directory.path()).size(), 0U);
}

// The folder may not exist yet when the recording begins, and a report may name it otherwise.
TEST(LiveRecordings, AreOfTheSameRunHoweverItsFolderIsSpelt) {
  const TemporaryDirectory directory;
  const fs::path before = fs::current_path();
  fs::current_path(directory.path());
  const std::string prefix = LiveRecordings("run").prefix;
  fs::create_directory("run");
  for (const fs::path& spelling : {fs::path("run"), fs::path("./run/"), fs::absolute("run")}) {
    EXPECT_EQ(LiveRecordings(spelling).prefix, prefix) << spelling;
  }
  fs::current_path(before);
}

TEST(RunRecorder, RemovesWhatAKilledRankLeft) {
  const TemporaryDirectory directory;
  const LiveRecordings live(directory.path());
  const fs::path left = live.folder / (live.prefix_of(0) + "1.bin");
  const fs::path of_another_rank = live.folder / (live.prefix_of(1) + "1.bin");
  for (const fs::path& path : {left, of_another_rank}) std::ofstream(path) << "left";
  {
    RunRecorder recorder(0, Mesh{}, directory.path());
    recorder.get()->begin({.name = recorder.get()->name("forward")});
    recorder.keep();
    EXPECT_FALSE(fs::exists(left));
    EXPECT_TRUE(fs::exists(of_another_rank));
  }
  fs::remove(of_another_rank);
  EXPECT_EQ(read_recording(kept_recording(directory.path(), 0)).records.size(), 1U);
}

// A run that goes on with fewer ranks leaves none of those that it had before.
TEST(RunRecorder, RemovesTheRecordingsOfRanksThatARunHasNoMore) {
  const Scratch scratch;
  const auto kept = [&](int rank) { return kept_recording(scratch.path("run"), rank); };
  ASSERT_EQ(train(scratch, "run", {.data = 2, .options = {"--train.steps", "2"}}).status, 0);
  ASSERT_TRUE(fs::exists(kept(1)));
  const fs::path foreign = kept(0).parent_path() / "rank-notes.bin";
  std::ofstream(foreign) << "of the user";
  // A job that is refused is no run.
  EXPECT_EQ(train(scratch, "run", {.options = {"--train.seed", "7"}}).status, 2);
  EXPECT_TRUE(fs::exists(kept(1)));
  ASSERT_EQ(train(scratch, "run", {.options = {"--train.steps", "3"}}).status, 0);
  EXPECT_FALSE(fs::exists(kept(1)));
  EXPECT_TRUE(fs::exists(foreign));
  EXPECT_EQ(read_recording(kept(0)).rank.ranks, 1);
}

}  // namespace
}  // namespace masformer::test
