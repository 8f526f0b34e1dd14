// `masformer report` of real runs.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launch/training/run_recorder.h"
#include "tests/support/trace_checks.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {(std::istreambuf_iterator<char>(stream)), {}};
}

// The data that the page's script draws.
Json figures_of(const std::string& page) {
  const std::string begin = "id=\"figures\">";
  const auto at = page.find(begin) + begin.size();
  return Json::parse(page.substr(at, page.find("</script>", at) - at), nullptr, false);
}

const Training two_stages{.pipeline = 2,
                          .options = {"--train.steps", "4", "--eval.every", "2",
                                      "--checkpoint.every", "2", "--train.profile_step", "2"}};

TEST(ReportCommand, ShowsTheNumbersOfARunAndItsRecordings) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", two_stages).status, 0);
  const fs::path folder = scratch.path("run");
  const Finished finished = run({program(), "report", folder.string()});
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_EQ(finished.output,
            (folder / "report.html").string() + "\n" + (folder / "trace.json").string() + "\n");

  const std::string page = text_of(folder / "report.html");
  const Json figures = figures_of(page);
  const std::vector<Json> lines = metrics(scratch, "run");
  const auto expect_line = [&](const Json& series, const char* key) {
    Json x = Json::array(), y = Json::array();
    for (const Json& line : lines) {
      if (!line.contains(key)) continue;
      x.push_back(line.at("step").get<double>());
      y.push_back(line.at(key).get<double>());
    }
    EXPECT_EQ(series.at("x"), x) << key;
    EXPECT_EQ(series.at("y"), y) << key;
  };
  std::map<std::string, Json> series;
  for (const Json& figure : figures.at("lines")) series[figure.at("id")] = figure.at("series");
  expect_line(series.at("loss").at(0), "loss");
  expect_line(series.at("loss").at(1), "eval_loss");
  expect_line(series.at("grad-norm").at(0), "grad_norm");
  expect_line(series.at("lr").at(0), "lr");
  expect_line(series.at("tokens").at(0), "tokens_per_second");
  expect_line(series.at("mfu").at(0), "mfu");
  expect_line(series.at("bubble").at(0), "bubble");
  EXPECT_EQ(series.at("sent").at(0).at("y").at(3), lines[3].at("sent_bytes").at("pipeline"));
  EXPECT_EQ(figures.at("bars").at(0).at("labels").size(), 6U);
  for (const char* const part : {"predicted: ", "measured: ", "Time of each block",
                                 "Profile of a step", "wait for other stages", "<td>save</td>"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(page.find("What is missing"), std::string::npos);

  const Json trace = Json::parse(text_of(folder / "trace.json"));
  expect_nested(trace);
  expect_sums(trace, {read_recording(kept_recording(folder, 0)),
                      read_recording(kept_recording(folder, 1))});
}

TEST(ReportCommand, ShowsRunsBesideEachOtherAndDrawsTimelines) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "a", two_stages).status, 0);
  ASSERT_EQ(train(scratch, "b", {.options = {"--train.steps", "2"}}).status, 0);
  const std::string a = scratch.path("a").string(), b = scratch.path("b").string();
  const std::string page = scratch.path("both.html").string();
  ASSERT_EQ(run({program(), "report", a, b, "--output", page}).status, 0);
  const Json loss = figures_of(text_of(page)).at("lines").at(0).at("series");
  ASSERT_EQ(loss.size(), 3U);
  EXPECT_EQ(loss.at(0).at("label"), "a: training");
  EXPECT_EQ(loss.at(2).at("label"), "b: training");
  EXPECT_TRUE(fs::exists(scratch.path("both.trace.json")));
  for (const char* const name : {"report.html", "trace.json"}) {
    EXPECT_FALSE(fs::exists(scratch.path("a") / name)) << name;
  }

  const Finished finished = run({program(), "report", a, "--timeline"});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const std::string svg = text_of(scratch.path("a") / "timeline.svg");
  EXPECT_TRUE(svg.starts_with("<svg"));
  EXPECT_NE(svg.find(">predicted: "), std::string::npos);
  EXPECT_NE(svg.find(">measured: "), std::string::npos);
}

// A folder whose name is markup, and files that a crash left in pieces.
TEST(ReportCommand, ShowsWhatIsLeftOfARun) {
  const Scratch scratch;
  const fs::path folder = scratch.path("<script>");
  fs::create_directories(folder);
  std::ofstream(folder / "metrics.jsonl") << "{\"step\":1,\"loss\":null}\n{\"step\":2,\"lo";
  const Finished finished = run({program(), "report", folder.string()});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const std::string page = text_of(folder / "report.html");
  EXPECT_NE(page.find("metrics.jsonl: 1 damaged line is left out."), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;</title>"), std::string::npos);
  EXPECT_EQ(Json::parse(text_of(folder / "trace.json")).at("traceEvents"), Json::array());
}

TEST(ReportCommand, RefusesWhatIsNoRun) {
  const Scratch scratch;
  fs::create_directories(scratch.path("other"));
  std::ofstream(scratch.path("other") / "metrics.jsonl");
  const auto expect = [&](std::vector<std::string> words, const std::string& message) {
    words.insert(words.begin(), {program(), "report"});
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 2);
    EXPECT_NE(finished.output.find(message), std::string::npos) << finished.output;
  };
  expect({}, "report needs the folder of a run: its run.dir");
  expect({scratch.path("text").string()},
         "text is not the folder of a run: it has no metrics.jsonl, events.jsonl or plan.json");
  expect({scratch.path("other").string(), "--timeline"},
         "has neither a predicted step (plan.json) nor recordings of a whole one");
}

}  // namespace
}  // namespace masformer::test
