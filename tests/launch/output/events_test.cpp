// events.jsonl: what is written is read back, whatever a kill left of the last line.
#include "launch/output/events.h"

#include <chrono>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<EventKind> kinds_of(const EventFile& file) {
  std::vector<EventKind> kinds;
  for (const Event& event : file.events) kinds.push_back(event.kind);
  return kinds;
}

TEST(Events, ReadBackWhatWasWritten) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "events.jsonl";
  const double before = now();
  {
    EventWriter writer(path);
    writer.write(EventKind::save, 3, {{"path", "a \"b\"\n\xff"}, {"bytes", 7}});
    writer.write(EventKind::stop, 4, Json::object());
  }
  EventWriter(path).write(EventKind::start, 3, {{"resumed", nullptr}});
  const EventFile file = read_events(path);
  EXPECT_EQ(file.damaged, 0);
  ASSERT_EQ(kinds_of(file), (std::vector{EventKind::save, EventKind::stop, EventKind::start}));
  EXPECT_EQ(file.events[0].step, 3);
  EXPECT_EQ(file.events[0].fields, (Json{{"path", "a \"b\"\n\uFFFD"}, {"bytes", 7}}));
  EXPECT_EQ(file.events[2].fields, (Json{{"resumed", nullptr}}));
  for (const Event& event : file.events) {
    EXPECT_GE(event.time, before);
    EXPECT_LE(event.time, now());
  }
}

TEST(Events, SurviveAKillWithinAnyByteOfALine) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "events.jsonl";
  {
    EventWriter writer(path);
    writer.write(EventKind::note, 1, {{"text", "first"}});
    writer.write(EventKind::note, 2, {{"text", "second"}});
  }
  std::ifstream stream(path);
  const std::string whole((std::istreambuf_iterator<char>(stream)), {});
  const std::size_t first = whole.find('\n') + 1;
  for (std::size_t bytes = first; bytes < whole.size(); ++bytes) {
    std::ofstream(path, std::ios::trunc) << whole.substr(0, bytes);
    const bool has_second = bytes + 1 == whole.size();  // only its newline is missing
    EXPECT_EQ(read_events(path).events.size(), has_second ? 2U : 1U) << bytes;
    EventWriter(path).write(EventKind::stop, 3, Json::object());
    const EventFile file = read_events(path);
    EXPECT_EQ(file.events.size(), has_second ? 3U : 2U) << bytes;
    EXPECT_EQ(file.events.back().kind, EventKind::stop) << bytes;
    EXPECT_EQ(file.damaged, has_second || bytes == first ? 0 : 1) << bytes;
  }
}

TEST(Events, LeavesOutLinesThatAreNoEvent) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "events.jsonl";
  std::ofstream(path) << "{\"time\":1,\"event\":\"stop\",\"step\":2}\n"
                         "{\"time\":1,\"event\":\"unheard of\",\"step\":2}\n"
                         "{\"time\":\"1\",\"event\":\"stop\",\"step\":2}\n"
                         "{\"time\":NaN,\"event\":\"stop\",\"step\":2}\n[1]\n\n";
  const EventFile file = read_events(path);
  EXPECT_EQ(file.events.size(), 1U);
  EXPECT_EQ(file.damaged, 4);
  EXPECT_EQ(read_events(directory / "missing").events.size(), 0U);
}

// The last event of a kind; its fields are null if there is none.
Json last(const EventFile& file, EventKind kind) {
  Json found;
  for (const Event& event : file.events) {
    if (event.kind == kind) found = event.fields;
  }
  return found;
}

TEST(Events, TellTheCourseOfARun) {
  const Scratch scratch;
  Training training{
      .pipeline = 2,
      .options = {"--train.steps", "2", "--eval.every", "2", "--checkpoint.every", "2"}};
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  const fs::path path = scratch.path("run") / "events.jsonl";
  const EventFile first = read_events(path);
  using enum EventKind;
  EXPECT_EQ(kinds_of(first), (std::vector{start, memory, evaluation, save, memory, stop}));
  const Json begin = last(first, start);
  EXPECT_EQ(begin.at("ranks"), 2);
  EXPECT_EQ(begin.at("layout"),
            (Json{{"pipeline", 2}, {"data", 1}, {"context", 1}, {"tensor", 1}}));
  EXPECT_EQ(begin.at("resumed"), Json());
  const std::string says = run({program(), "--version"}).output;
  EXPECT_TRUE(says.starts_with("masformer " + begin.at("version").get<std::string>() + ", commit " +
                               begin.at("commit").get<std::string>() + "\n"))
      << says;
  EXPECT_TRUE(begin.at("chosen").contains("parallel.partition"));
  EXPECT_TRUE(begin.at("chosen").contains("parallel.data"));
  EXPECT_FALSE(begin.at("chosen").contains("parallel.pipeline")) << "the command line sets it";
  EXPECT_FALSE(begin.at("chosen").contains("parallel.schedule")) << "a plain default";
  const Json line = metrics(scratch, "run").back();
  EXPECT_EQ(last(first, evaluation).at("loss"), line.at("eval_loss"));
  EXPECT_EQ(first.events[2].step, 2);
  std::uintmax_t bytes = 0;
  for (const auto& file : fs::directory_iterator(last(first, save).at("path").get<std::string>())) {
    bytes += file.file_size();
  }
  EXPECT_EQ(last(first, save).at("bytes"), bytes);
  EXPECT_EQ(last(first, stop), (Json{{"reason", "done"}, {"status", 0}}));
  const Json stages = last(first, memory).at("stages");
  ASSERT_EQ(stages.size(), 2U);
  std::int64_t most = 0;
  for (const Json& stage : stages) {
    EXPECT_EQ(stage.at("planned"), stage.at("allocated"));
    EXPECT_GT(stage.at("process_peak_bytes"), stage.at("allocated").at("total"));
    most = std::max(most, stage.at("allocated").at("total").get<std::int64_t>());
  }
  EXPECT_EQ(most, line.at("peak_memory_bytes"));

  training.options[1] = "3";
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  const EventFile both = read_events(path);
  EXPECT_EQ(kinds_of(both),
            (std::vector{start, memory, evaluation, save, memory, stop, restart, start, note, note,
                         evaluation, memory, save, memory, stop}));
  EXPECT_EQ(last(both, start).at("resumed"), 2);
  EXPECT_EQ(last(both, restart), (Json{{"stopped", true}, {"lost_steps", 0}}));
}

TEST(Events, ThatCannotBeWrittenDoNotEndARun) {
  const Scratch scratch;
  fs::create_directories(scratch.path("run") / "events.jsonl");
  const Finished finished = train(scratch, "run", {.options = {"--train.steps", "1"}});
  EXPECT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("warning: this run records no events: "), std::string::npos)
      << finished.output;
}

TEST(Events, TellWhyARunFailed) {
  const Scratch scratch;
  const Finished finished =
      train(scratch, "run", {.options = {"--train.lr", "1e6", "--train.weight_decay", "1e38"}});
  ASSERT_EQ(finished.status, 1) << finished.output;
  const Json end = last(read_events(scratch.path("run") / "events.jsonl"), EventKind::stop);
  EXPECT_EQ(end.at("reason"), "failure");
  EXPECT_EQ(end.at("status"), 1);
  EXPECT_NE(end.at("text").get<std::string>().find("not finite"), std::string::npos) << end;
}

}  // namespace
}  // namespace masformer::test
