// The page as a document: its parts, and that nothing in a run can become markup.
#include "launch/report/page.h"

#include <gtest/gtest.h>

#include "launch/report/event_tables.h"
#include "launch/report/markup.h"
#include "launch/report/partition_picture.h"
#include "launch/report/profile_tables.h"
#include "launch/report/run_summary.h"
#include "launch/report/units.h"
#include "tests/support/recordings.h"

namespace masformer::test {
namespace {

using Json = nlohmann::json;

constexpr const char* hostile = "</script><script>alert('1')</script>&\"";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

RunFiles hostile_run() {
  HandMadeRecording recording({});
  recording.add_message(3, hostile, 1, Record::running);
  RunFiles run{
      .name = hostile, .label = hostile, .recordings = {recording.get()}, .remarks = {hostile}};
  run.metrics.steps = {1};
  run.metrics.columns = {{"loss", {1}}};
  run.events = {{1, EventKind::start, 0, {{"model", hostile}, {"chosen", {{hostile, hostile}}}}},
                {2, EventKind::note, 0, {{"text", hostile}}},
                {3, EventKind::save, 0, {{"path", hostile}, {"seconds", "x"}}},
                {4, EventKind::memory, 0, {{"stages", {hostile, {{"planned", hostile}}}}}}};
  run.plan = {{"layer_seconds", {1, 2}},  {"layer_spans", {hostile, 7}},
              {"layer_stages", {"x", 1}}, {"schedule", hostile},
              {"step_seconds", hostile},  {"layout", {{"pipeline", hostile}}}};
  const Json row{{"name", hostile}, {"seconds", 1}, {"seconds_by_pass", {{hostile, 1}}}};
  run.profile = {{"step", hostile}, {"stages", {{{"ops", {row}}, {"layers", {row, 3}}}}}};
  return run;
}

TEST(ReportPage, HasNoMarkupOfTheRun) {
  const std::string quiet = report_page({RunFiles{.name = "quiet"}});
  for (const std::string& page :
       {report_page({hostile_run()}), report_page({hostile_run(), hostile_run()})}) {
    EXPECT_EQ(count(page, "<script"), count(quiet, "<script"));
    EXPECT_EQ(count(page, "</script"), count(quiet, "</script"));
    EXPECT_EQ(page.find("<script>alert"), std::string::npos);
    EXPECT_NE(page.find("&lt;/script&gt;"), std::string::npos);
  }
}

TEST(ReportPage, NeedsNoOtherFile) {
  const std::string page = report_page({hostile_run()});
  for (const char* const reference : {" src=", " href=", "url(", "@import", "fetch("}) {
    EXPECT_EQ(page.find(reference), std::string::npos) << reference;
  }
}

TEST(ReportPage, OfARunWithoutFilesSaysWhatIsMissing) {
  RunFiles run{.name = "empty", .remarks = {"metrics.jsonl is missing."}};
  const std::string page = report_page({run});
  EXPECT_NE(page.find("<li>metrics.jsonl is missing.</li>"), std::string::npos);
  EXPECT_EQ(page.find("<canvas"), std::string::npos);
  EXPECT_TRUE(page.ends_with("</html>\n"));
}

TEST(ReportMarkup, EscapesTextAndJson) {
  EXPECT_EQ(table_markup({.head = {"<"}, .rows = {{"a&b"}}}),
            "<div class=\"scroll\"><table>\n<thead><tr><th>&lt;</th></tr>\n</thead>\n"
            "<tbody>\n<tr><td>a&amp;b</td></tr>\n</tbody></table></div>\n");
  const std::string json = script_json({{"key", hostile}});
  EXPECT_EQ(json.find('<'), std::string::npos);
  EXPECT_EQ(Json::parse(json).at("key"), hostile);
}

TEST(PartitionPicture, DrawsEachBlockAndTellsPartsApart) {
  const Json plan{{"layer_seconds", {0.25, 0.5}},
                  {"layer_spans", {"full", "window:8"}},
                  {"layer_stages", {0, 1}},
                  {"embedding_seconds", 0.125},
                  {"head_seconds", 0.125}};
  const std::string svg = draw_partition(plan);
  EXPECT_EQ(count(svg, "<title>"), 4U);
  EXPECT_NE(svg.find("<title>1 window:8, stage 1: 500 ms</title>"), std::string::npos) << svg;
  EXPECT_EQ(count(svg, "#66707c"), 3U) << "embedding, block 0, and the line below them";
  EXPECT_EQ(count(svg, "#98a2ae"), 3U);
  const TextTable table = partition_table(plan);
  ASSERT_EQ(table.rows.size(), 4U);
  EXPECT_EQ(table.rows[2], (std::vector<std::string>{"1", "window:8", "1", "500", "50.0%"}));
  EXPECT_EQ(draw_partition(nullptr), "");
  EXPECT_EQ(draw_partition({{"layer_seconds", "x"}}), "");
}

TEST(RunSummary, TellsTheCourseOfARun) {
  RunFiles run{.label = "a"};
  run.events = {{0, EventKind::start, 0, {{"ranks", 2}, {"resumed", nullptr}, {"steps", 9}}},
                {60, EventKind::save, 4, {{"path", "p"}, {"seconds", 2}, {"bytes", 4096}}},
                {61, EventKind::restart, 4, {{"stopped", false}, {"lost_steps", 2}}},
                {62, EventKind::start, 4, {{"ranks", 1}, {"resumed", 4}, {"steps", 9}}}};
  run.metrics.steps = {4};
  const std::vector<std::vector<std::string>> events{
      {"1970-01-01 00:00:00", "0", "start", "2 ranks, from the beginning"},
      {"1970-01-01 00:01:00", "4", "save", "p, 4 KiB, 2 s"},
      {"1970-01-01 00:01:01", "4", "restart",
       "continues a run that ended without a record: killed, or a rank failed; 2 steps lost"},
      {"1970-01-01 00:01:02", "4", "start", "1 rank, after step 4"}};
  EXPECT_EQ(event_table(run).rows, events);
  EXPECT_EQ(save_table(run).rows[0],
            (std::vector<std::string>{"4", "1970-01-01 00:01:00", "2 s", "4 KiB", "2 KiB/s"}));
  std::map<std::string, std::string> facts;
  for (const auto& row : summary_table({run}).rows) facts[row[0]] = row[1];
  EXPECT_EQ(facts.at("restarts"), "1, which lost 2 steps");
  EXPECT_EQ(facts.at("last step"), "4 of 9");
  EXPECT_EQ(facts.at("end"),
            "no stop is recorded: it runs, or ended without a record: killed, or a rank failed");
  EXPECT_EQ(facts.at("checkpoints saved"), "1 in 2 s");
  run.events.clear();
  for (const auto& row : summary_table({run}).rows) EXPECT_EQ(row[0], "last step");
  EXPECT_EQ(summary_table({run, run}).head, (std::vector<std::string>{"", "a", "a"}));
}

TEST(RunSummary, NamesWhatAKilledRankWasDoing) {
  HandMadeRecording recording({.rank = 3, .ranks = 4, .pipe = 1}, 1'000'000'000);
  recording.add_action(7, {ActionKind::forward, 1, 0}, 0, 1);
  recording.add_action(7, {ActionKind::backward, 2, 0}, 500'000'000, Record::running);
  recording.add_message(7, "send", 500'000'001, Record::running, 2048);
  RunFiles run{.label = "a", .recordings = {recording.get()}};
  EXPECT_EQ(unfinished_table(run).rows,
            (std::vector<std::vector<std::string>>{
                {"3", "1", "7", "backward of micro-batch 2", "1970-01-01 00:00:01"},
                {"3", "1", "7", "send 1 of group pipeline, 2 KiB", "1970-01-01 00:00:01"}}));
}

TEST(RunSummary, HasTheProfileOfAStep) {
  RunFiles run{.label = "a"};
  EXPECT_TRUE(op_profile_table(run).rows.empty());
  run.profile = {
      {"step", 3},
      {"stages",
       {{{"stage", 0},
         {"peak_flops", 4e9},
         {"seconds", 2.0},
         {"other_seconds", 0.5},
         {"ops", {{{"name", "linear"}, {"calls", 2}, {"seconds", 1.0}, {"flops", 1e9}}}},
         {"waits", {{{"name", "tensor ranks"}, {"calls", 1}, {"seconds", 0.5}}}},
         {"layers",
          {{{"name", ""}, {"seconds", 1.0}, {"seconds_by_pass", {{"forward", 0.25}}}}}}}}}};
  const std::vector<std::vector<std::string>> rows{
      {"linear", "0", "2", "1000.000", "50.0%", "1.0", "25.0%"},
      {"wait for tensor ranks", "0", "1", "500.000", "25.0%", "", ""},
      {"other", "0", "", "500.000", "25.0%", "", ""},
      {"total", "0", "", "2000.000", "100.0%", "", ""}};
  EXPECT_EQ(op_profile_table(run).rows, rows);
  const TextTable layers = layer_profile_table(run);
  EXPECT_EQ(layers.head,
            (std::vector<std::string>{"layer", "stage", "forward, ms", "ms", "share"}));
  EXPECT_EQ(layers.rows.at(0),
            (std::vector<std::string>{"outside of layers", "0", "250.000", "1000.000", "50.0%"}));
}

TEST(ReportUnits, AreReadable) {
  EXPECT_EQ(duration_text(0.0125), "12.5 ms");
  EXPECT_EQ(duration_text(3.25), "3.25 s");
  EXPECT_EQ(duration_text(7500), "2 h 05 min");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(date_text(1e9), "2001-09-09 01:46:40");
  EXPECT_EQ(number_text(819200), "819200");
  EXPECT_EQ(number_text(1.0 / 3), "0.333333");
  EXPECT_EQ(number_text(std::numeric_limits<double>::infinity()), "");
}

}  // namespace
}  // namespace masformer::test
