// The charts as data: which lines there are, which numbers they have, and that tables have the
// same.
#include "launch/report/figures.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace masformer::test {
namespace {

using Json = nlohmann::json;

constexpr double none = std::numeric_limits<double>::quiet_NaN();

RunFiles run_of(const std::string& name) {
  RunFiles run{.name = name, .label = name};
  run.metrics.steps = {1, 2, 3};
  run.metrics.columns = {{"loss", {4, none, 3.25}},
                         {"eval_loss", {none, none, 3.5}},
                         {"bubble", {0, 0, 0}},
                         {"sent_bytes.tensor", {10, 20, 30}},
                         {"sent_bytes.data", {0, 0, 0}}};
  return run;
}

TEST(Figures, HaveALineForEachQuantityThatTheRunHas) {
  const std::vector<LineFigure> figures = line_figures({run_of("a")});
  ASSERT_EQ(figures.size(), 2U) << "without those of which there are no numbers, or all are 0";
  EXPECT_EQ(figures[0].id, "loss");
  ASSERT_EQ(figures[0].lines.size(), 2U);
  EXPECT_EQ(figures[0].lines[0].label, "training");
  EXPECT_EQ(figures[0].lines[0].x, (std::vector<double>{1, 2, 3}));
  EXPECT_TRUE(std::isnan(figures[0].lines[0].y[1]));
  EXPECT_EQ(figures[0].lines[1].x, std::vector<double>{3}) << "only where there is a held-out loss";
  EXPECT_EQ(figures[0].lines[1].y, std::vector<double>{3.5});
  EXPECT_EQ(figures[1].id, "sent");
  ASSERT_EQ(figures[1].lines.size(), 1U);
  EXPECT_EQ(figures[1].lines[0].label, "tensor");
  EXPECT_TRUE(line_figures({RunFiles{}}).empty());
}

TEST(Figures, ShowRunsBesideEachOther) {
  const std::vector<LineFigure> figures = line_figures({run_of("a"), run_of("b")});
  ASSERT_EQ(figures[0].lines.size(), 4U);
  EXPECT_EQ(figures[0].lines[3].label, "b: held-out");
  EXPECT_NE(figures[0].lines[0].colour, figures[0].lines[2].colour);
  EXPECT_EQ(figures[0].lines[0].colour, figures[0].lines[1].colour);
  EXPECT_NE(figures[0].lines[0].dash, figures[0].lines[1].dash);
  const TextTable table = table_of(figures[0]);
  EXPECT_EQ(table.head, (std::vector<std::string>{"step", "a: training", "a: held-out",
                                                  "b: training", "b: held-out"}));
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"2", "", "", "", ""}));
  EXPECT_EQ(table.rows[2], (std::vector<std::string>{"3", "3.25", "3.5", "3.25", "3.5"}));
}

TEST(Figures, TakeEachNthStepOfLongRunsAndSaySo) {
  RunFiles run{.label = "long"};
  std::vector<double> loss, evaluated;
  for (int step = 1; step <= 10001; ++step) {
    run.metrics.steps.push_back(step);
    loss.push_back(step);
    evaluated.push_back(step == 778 ? 1.0 : none);
  }
  run.metrics.columns = {{"loss", loss}, {"eval_loss", evaluated}};
  const LineFigure figure = line_figures({run}).at(0);
  const Series& line = figure.lines[0];
  EXPECT_LE(line.x.size(), max_points + 1);
  EXPECT_EQ(line.x[1], 5);
  EXPECT_EQ(line.x.back(), 10001);
  EXPECT_EQ(line.x, line.y);
  EXPECT_EQ(figure.lines[1].x, std::vector<double>{778});
  EXPECT_EQ(figure.note, "Of the 10001 steps of the run, one step in 4 is shown, and the last.");
  RunFiles other = run;
  other.label = "other";
  other.metrics.columns = {{"eval_loss", loss}};
  const LineFigure both = line_figures({run, other}).at(0);
  EXPECT_EQ(both.note,
            "Of the 10001 steps of long, one step in 4 is shown, and the last. "
            "Of the 10001 steps of other, one step in 4 is shown, and the last.");
  EXPECT_LE(both.lines.back().x.size(), max_points + 1);
  EXPECT_EQ(both.lines.back().x.back(), 10001);
}

TEST(Figures, ShowMemoryBesideThePlan) {
  RunFiles run{.label = "a"};
  EXPECT_TRUE(memory_figure({run}).bars.empty());
  run.plan = {{"memory_bytes", {{{"weights", 5}, {"total", 5}}}}};
  EXPECT_EQ(memory_figure({run}).bars, std::vector<std::string>{"stage 0, planned"});
  const Json stage{{"stage", 0},
                   {"planned", {{"weights", 5}, {"batch", 1}}},
                   {"allocated", {{"weights", 6}, {"batch", 1}}},
                   {"process_peak_bytes", 4096}};
  run.events.push_back({1, EventKind::memory, 1, {{"stages", {stage}}}});
  const BarFigure figure = memory_figure({run});
  EXPECT_EQ(figure.bars, (std::vector<std::string>{"stage 0, planned", "stage 0, allocated",
                                                   "stage 0, host process"}));
  ASSERT_EQ(figure.parts.size(), 3U) << "without kinds that take nothing";
  EXPECT_EQ(figure.parts[0].y, (std::vector<double>{5, 6, 0}));
  EXPECT_EQ(figure.parts[2].y, (std::vector<double>{0, 0, 4096}));
  EXPECT_EQ(table_of(figure).rows[1],
            (std::vector<std::string>{"stage 0, allocated", "6 B", "1 B", "", "7 B"}));
  run.events.push_back({2, EventKind::start, 1, Json::object()});
  EXPECT_EQ(memory_figure({run}).bars, std::vector<std::string>{"stage 0, planned"})
      << "of the last start, which ended before its first step";
}

TEST(Figures, MarkRestartsAndFailures) {
  RunFiles run{.label = "a"};
  run.events = {{1, EventKind::start, 0, Json::object()},
                {2, EventKind::stop, 5, {{"reason", "failure"}}},
                {3, EventKind::restart, 4, Json::object()},
                {4, EventKind::stop, 9, {{"reason", "done"}}}};
  const std::vector<StepMark> marks = step_marks({run});
  ASSERT_EQ(marks.size(), 2U);
  EXPECT_EQ(marks[0].step, 5);
  EXPECT_EQ(marks[0].label, "failure");
  EXPECT_EQ(marks[1].label, "restart");
  EXPECT_EQ(step_marks({run, run})[3].label, "a: restart");
}

TEST(Figures, BecomeJsonThatReadsBackBitForBit) {
  const Json json = Json::parse(to_json(line_figures({run_of("a")}), {}, {}).dump());
  EXPECT_EQ(json.at("lines").at(0).at("series").at(0).at("y"), (Json{4, nullptr, 3.25}));
  EXPECT_TRUE(json.at("bars").empty());
}

}  // namespace
}  // namespace masformer::test
