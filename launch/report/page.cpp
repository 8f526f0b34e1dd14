#include "launch/report/page.h"

#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/markup.h"
#include "launch/plan/timeline.h"
#include "launch/report/assets.h"
#include "launch/report/event_tables.h"
#include "launch/report/figures.h"
#include "launch/report/json_fields.h"
#include "launch/report/measured_step.h"
#include "launch/report/partition_picture.h"
#include "launch/report/profile_tables.h"
#include "launch/report/run_summary.h"

namespace masformer {
namespace {

constexpr const char* numbers_label = "Numbers";

struct FigureParts {
  std::string id;  // "" for a figure that the script does not draw
  std::string title, body, caption{}, numbers{};
  bool is_wide = false, has_scale = false;
};

std::string figure_markup(const FigureParts& parts) {
  std::string text = "<figure";
  if (!parts.id.empty()) text += fmt::format(" id=\"{}\"", escape_markup(parts.id));
  if (parts.is_wide) text += " class=\"wide\"";
  text += fmt::format("><h3>{}", escape_markup(parts.title));
  if (parts.has_scale) {
    text += "<button type=\"button\">logarithmic scale</button>";
  }
  text += "</h3>\n" + parts.body;
  if (!parts.caption.empty()) {
    text += fmt::format("<figcaption>{}</figcaption>\n", escape_markup(parts.caption));
  }
  return text + parts.numbers + "</figure>\n";
}

std::string canvas_markup(const std::string& title) {
  return fmt::format(
      "<div class=\"canvas\"><canvas role=\"img\" aria-label=\"{}; its numbers are in the table "
      "below\"></canvas></div>\n",
      escape_markup(title));
}

std::string curves_section(const std::vector<LineFigure>& figures) {
  if (figures.empty()) return "";
  std::string text =
      "<h2>Training</h2>\n<p class=\"no-charts-note\">This program was built without Chart.js, so "
      "curves are shown as tables.</p>\n<div class=\"grid\">\n";
  for (const LineFigure& figure : figures) {
    text += figure_markup({.id = figure.id,
                           .title = figure.title,
                           .body = canvas_markup(figure.title),
                           .caption = figure.note,
                           .numbers = folded_markup(numbers_label, table_of(figure)),
                           .has_scale = figure.can_be_logarithmic});
  }
  return text + "</div>\n";
}

std::string memory_section(const BarFigure& figure) {
  if (figure.bars.empty()) return "";
  return "<h2>Memory</h2>\n" +
         figure_markup({.id = figure.id,
                        .title = figure.title,
                        .body = canvas_markup(figure.title),
                        .caption =
                            "For each stage, of its rank that needs most: what the plan says and "
                            "what was allocated. Host process: the most that a process of the "
                            "stage has taken of its host, with the program and its libraries.",
                        .numbers = folded_markup(numbers_label, table_of(figure)),
                        .is_wide = true});
}

TextTable bar_table(const std::vector<Timeline>& timelines) {
  TextTable table{.head = {"timeline", "stage", "action", "begin, ms", "end, ms"}};
  for (const Timeline& timeline : timelines) {
    for (const TimelineBar& bar : timeline.bars) {
      table.rows.push_back({timeline.title, std::to_string(bar.stage), to_string(bar.action),
                            fmt::format("{:.3f}", 1e3 * bar.begin),
                            fmt::format("{:.3f}", 1e3 * bar.end)});
    }
  }
  return table;
}

std::string timeline_section(const std::vector<RunFiles>& runs) {
  const std::vector<Timeline> timelines = timelines_of(runs);
  if (timelines.empty()) return "";
  return "<h2>A step of the pipeline</h2>\n" +
         figure_markup(
             {.id = "timeline",
              .title = "When each stage runs which action",
              .body = fmt::format("<div class=\"scroll\">{}</div>\n", draw_timelines(timelines)),
              .caption =
                  "All on one scale of time that begins with the first action. Numbers are those "
                  "of the micro-batches. Actions contain the messages between tensor and context "
                  "ranks. In gaps a stage waits; after its last action it sums gradients, waits "
                  "for the norm and updates the weights. A dashed line is the end of the step. "
                  "Measured on the ranks with data, context and tensor coordinate 0.",
              .numbers = folded_markup(numbers_label, bar_table(timelines)),
              .is_wide = true});
}

// A figure or a table for each run, below its name if there are several.
std::string for_each_run(const std::vector<RunFiles>& runs, const std::string& heading,
                         const std::function<std::string(const RunFiles&)>& make) {
  std::string text;
  for (const RunFiles& run : runs) {
    const std::string own = make(run);
    if (own.empty()) continue;
    if (runs.size() > 1) text += fmt::format("<h3>{}</h3>\n", escape_markup(run.label));
    text += own;
  }
  return text.empty() ? "" : fmt::format("<h2>{}</h2>\n{}", escape_markup(heading), text);
}

std::string partition_of(const RunFiles& run) {
  const std::string picture = draw_partition(run.plan);
  if (picture.empty()) return "";
  return figure_markup(
      {.id = {},
       .title = "Time of each block in the plan, forward and backward of one micro-batch",
       .body = fmt::format("<div class=\"scroll\">{}</div>\n", picture),
       .caption = "The costs that the stages were balanced by, as plan.json has them.",
       .numbers = folded_markup(numbers_label, partition_table(run.plan)),
       .is_wide = true});
}

std::string words_table(const TextTable& table) {
  return table.rows.empty() ? ""
                            : fmt::format("<div class=\"words\">{}</div>\n", table_markup(table));
}

std::string events_of(const RunFiles& run) {
  constexpr std::size_t most_open = 40;  // rows that are shown at once
  const TextTable events = event_table(run);
  if (events.rows.size() <= most_open) return words_table(events);
  return "<div class=\"words\">" +
         folded_markup(fmt::format("{} events", events.rows.size()), events) + "</div>\n";
}

std::string profile_of(const RunFiles& run) {
  const TextTable ops = op_profile_table(run), layers = layer_profile_table(run);
  if (ops.rows.empty()) return "";
  return fmt::format("<p>Step {}.</p>\n", escape_markup(words_of(run.profile, "step"))) +
         "<div class=\"grid\">\n" + table_markup(ops) + table_markup(layers) + "</div>\n";
}

std::string remarks_of(const RunFiles& run) {
  std::string text;
  for (const std::string& remark : run.remarks) {
    text += fmt::format("<li>{}</li>\n", escape_markup(remark));
  }
  return text.empty() ? "" : "<ul>\n" + text + "</ul>\n";
}

std::string optional_table(const TextTable& table) {
  return table.rows.empty() ? "" : table_markup(table);
}

std::string title_of(const std::vector<RunFiles>& runs) {
  std::vector<std::string> names;
  for (const RunFiles& run : runs) names.push_back(run.name);
  return escape_markup(fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace

std::string report_page(const std::vector<RunFiles>& runs) {
  const std::vector<LineFigure> curves = line_figures(runs);
  const BarFigure memory = memory_figure(runs);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>masformer: {0}</title>\n<style>\n{1}</style>\n</head>\n<body>\n"
      "<header><h1>{0}</h1></header>\n<main>\n",
      title_of(runs), assets::page_style);
  page += words_table(summary_table(runs));
  page += for_each_run(runs, "What is missing", remarks_of);
  page += curves_section(curves) + timeline_section(runs);
  page += for_each_run(runs, "Partition", partition_of);
  page += memory_section(memory);
  page += for_each_run(runs, "What ranks were doing at the end of their recordings",
                       [](const RunFiles& run) { return optional_table(unfinished_table(run)); });
  page += for_each_run(runs, "Checkpoints",
                       [](const RunFiles& run) { return optional_table(save_table(run)); });
  page += for_each_run(runs, "Profile of a step", profile_of);
  page += for_each_run(runs, "Events", [](const RunFiles& run) { return events_of(run); });
  page += fmt::format(
      "</main>\n<script type=\"application/json\" id=\"figures\">{}</script>\n"
      "<script>{}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
      script_json(to_json(curves, memory, step_marks(runs))), assets::chart_library,
      assets::page_script);
  return page;
}

}  // namespace masformer
