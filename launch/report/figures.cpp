#include "launch/report/figures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "launch/report/json_fields.h"
#include "launch/report/units.h"
#include "parallel/mesh.h"

namespace masformer {
namespace {

using Json = nlohmann::json;

// A quantity: a figure with a line for each of these keys and each run.
struct Quantity {
  const char *id, *title;
  FigureUnit unit;
  bool can_be_logarithmic, starts_at_zero;
  std::vector<std::pair<std::string, std::string>> keys;  // of the metrics, and their labels
};

std::vector<Quantity> quantities() {
  using enum FigureUnit;
  std::vector<std::pair<std::string, std::string>> axes;
  for (const Axis axis : all_axes) {
    const std::string name(name_of(axis));
    axes.emplace_back("sent_bytes." + name, name);
  }
  return {
      {"loss",
       "Loss (nats per token)",
       number,
       true,
       false,
       {{"loss", "training"}, {"eval_loss", "held-out"}}},
      {"grad-norm", "Gradient norm before clipping", number, true, true, {{"grad_norm", ""}}},
      {"lr", "Learning rate", number, false, true, {{"lr", ""}}},
      {"tokens", "Tokens per second, all ranks", number, false, true, {{"tokens_per_second", ""}}},
      {"mfu", "Share of the devices' peak FLOP/s", share, false, true, {{"mfu", ""}}},
      {"bubble",
       "Share of the pipeline's time spent waiting",
       share,
       false,
       true,
       {{"bubble", ""}}},
      {"sent", "Bytes sent in a step, all ranks, by axis", bytes, true, true, axes}};
}

// Of every how many points one is shown.
std::size_t thinning_of(std::size_t count) {
  return std::max<std::size_t>(1, (count + max_points - 1) / max_points);
}

// Takes one point in n, and the last.
void thin(Series& line) {
  const std::size_t count = line.x.size(), every = thinning_of(count);
  if (every == 1) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % every != 0 && i + 1 != count) continue;
    line.x[kept] = line.x[i];
    line.y[kept++] = line.y[i];
  }
  line.x.resize(kept);
  line.y.resize(kept);
}

bool has_number(const std::vector<double>& numbers) {
  return std::ranges::any_of(numbers, [](double x) { return !std::isnan(x); });
}

bool is_all_zero(const std::vector<double>& numbers) {
  return std::ranges::all_of(numbers, [](double x) { return std::isnan(x) || x == 0; });
}

std::string label_of(const std::string& key, const std::string& run, bool several) {
  if (!several) return key;
  return key.empty() ? run : fmt::format("{}: {}", run, key);
}

class FigureMaker {
 public:
  explicit FigureMaker(const std::vector<RunFiles>& runs) : runs_(runs) {}

  LineFigure make(const Quantity& quantity) const {
    LineFigure figure{.id = quantity.id,
                      .title = quantity.title,
                      .unit = quantity.unit,
                      .can_be_logarithmic = quantity.can_be_logarithmic,
                      .starts_at_zero = quantity.starts_at_zero};
    for (std::size_t run = 0; run < runs_.size(); ++run) {
      for (std::size_t key = 0; key < quantity.keys.size(); ++key) {
        add_line(quantity, run, key, figure);
      }
    }
    return figure;
  }

 private:
  // Several runs: colours tell them apart, and dashes the keys; where there is one key, dashes tell
  // runs apart, too, so that equal lines are seen. One run: colours tell the keys apart.
  void add_line(const Quantity& quantity, std::size_t run, std::size_t key,
                LineFigure& figure) const {
    const auto& [name, words] = quantity.keys[key];
    const MetricColumns& metrics = runs_[run].metrics;
    const std::vector<double> column = metrics.column(name);
    const bool by_key = quantity.keys.size() > 1;
    if (!has_number(column) || (by_key && is_all_zero(column))) return;
    const bool few = name == "eval_loss", several = runs_.size() > 1;
    Series line{.label = label_of(words, runs_[run].label, several),
                .colour = static_cast<int>(several ? run : key),
                .dash = static_cast<int>(several && by_key ? key : run),
                .has_points = few};
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (few && std::isnan(column[i])) continue;
      line.x.push_back(metrics.steps[i]);
      line.y.push_back(column[i]);
    }
    note_thinning(run, line.x.size(), figure);
    thin(line);
    figure.lines.push_back(std::move(line));
  }

  // Once for all lines of a run that have as many points.
  void note_thinning(std::size_t run, std::size_t steps, LineFigure& figure) const {
    const std::size_t every = thinning_of(steps);
    if (every == 1) return;
    const std::string note =
        fmt::format("Of the {} steps of {}, one step in {} is shown, and the last.", steps,
                    runs_.size() > 1 ? runs_[run].label : "the run", every);
    if (figure.note.find(note) != std::string::npos) return;
    figure.note += (figure.note.empty() ? "" : " ") + note;
  }

  const std::vector<RunFiles>& runs_;
};

constexpr std::array memory_kinds{"weights", "gradients", "optimizer", "activations",
                                  "batch",   "workspace", "messages"};
constexpr const char* process_kind = "host process";

// Of the last event of that kind since the run's last start; null if there is none.
Json last_fields(const RunFiles& run, EventKind kind) {
  for (auto event = run.events.rbegin(); event != run.events.rend(); ++event) {
    if (event->kind == kind) return event->fields;
    if (event->kind == EventKind::start) break;
  }
  return nullptr;
}

void add_bar(BarFigure& figure, const std::string& label, const Json& memory, double process) {
  figure.bars.push_back(label);
  for (std::size_t i = 0; i < memory_kinds.size(); ++i) {
    figure.parts[i].y.push_back(number_of(memory, memory_kinds[i]));
  }
  figure.parts.back().y.push_back(process);
}

// The plan of a run is in plan.json, too: if it ended before its first step, there is no more.
void add_memory(BarFigure& figure, const RunFiles& run, const std::string& prefix) {
  const Json stages = list_of(last_fields(run, EventKind::memory), "stages");
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string name = fmt::format("{}stage {}", prefix, i);
    add_bar(figure, name + ", planned", object_of(stages[i], "planned"), 0);
    add_bar(figure, name + ", allocated", object_of(stages[i], "allocated"), 0);
    add_bar(figure, name + ", host process", {}, number_of(stages[i], "process_peak_bytes"));
  }
  if (!stages.empty()) return;
  std::size_t i = 0;
  for (const Json& stage : list_of(run.plan, "memory_bytes")) {
    add_bar(figure, fmt::format("{}stage {}, planned", prefix, i++), stage, 0);
  }
}

Json json_of(const Series& series) {
  return {{"label", series.label}, {"colour", series.colour},     {"dash", series.dash},
          {"x", series.x},         {"points", series.has_points}, {"y", series.y}};
}

Json json_of(const std::vector<Series>& all) {
  Json list = Json::array();
  for (const Series& series : all) list.push_back(json_of(series));
  return list;
}

}  // namespace

std::vector<LineFigure> line_figures(const std::vector<RunFiles>& runs) {
  const FigureMaker maker(runs);
  std::vector<LineFigure> figures;
  for (const Quantity& quantity : quantities()) {
    LineFigure figure = maker.make(quantity);
    const bool is_idle = std::string_view(quantity.id) == "bubble" &&
                         std::ranges::all_of(figure.lines, is_all_zero, &Series::y);
    if (!figure.lines.empty() && !is_idle) figures.push_back(std::move(figure));
  }
  return figures;
}

BarFigure memory_figure(const std::vector<RunFiles>& runs) {
  BarFigure figure{
      .id = "memory", .title = "Memory of a rank, by stage and kind", .unit = FigureUnit::bytes};
  int colour = 0;
  for (const char* const kind : memory_kinds) {
    figure.parts.push_back({.label = kind, .colour = colour++});
  }
  figure.parts.push_back({.label = process_kind, .colour = colour});
  for (const RunFiles& run : runs) {
    add_memory(figure, run, runs.size() > 1 ? run.label + ": " : "");
  }
  std::erase_if(figure.parts, [](const Series& part) { return is_all_zero(part.y); });
  return figure;
}

std::vector<StepMark> step_marks(const std::vector<RunFiles>& runs) {
  std::vector<StepMark> marks;
  const auto add = [&](const Event& event, const RunFiles& run, const std::string& label) {
    const std::string prefix = runs.size() > 1 ? run.label + ": " : "";
    marks.push_back({static_cast<double>(event.step), prefix + label});
  };
  for (const RunFiles& run : runs) {
    for (const Event& event : run.events) {
      if (event.kind == EventKind::restart) add(event, run, "restart");
      if (event.kind != EventKind::stop) continue;
      if (words_of(event.fields, "reason") == "failure") add(event, run, "failure");
    }
  }
  return marks;
}

TextTable table_of(const LineFigure& figure) {
  TextTable table{.head = {"step"}};
  std::map<double, std::vector<std::string>> rows;
  for (std::size_t i = 0; i < figure.lines.size(); ++i) {
    const Series& line = figure.lines[i];
    table.head.push_back(line.label.empty() ? figure.title : line.label);
    for (std::size_t j = 0; j < line.x.size(); ++j) {
      auto& row = rows[line.x[j]];
      row.resize(figure.lines.size());
      row[i] = number_text(line.y[j]);
    }
  }
  for (auto& [step, row] : rows) {
    row.insert(row.begin(), number_text(step));
    table.rows.push_back(std::move(row));
  }
  return table;
}

TextTable table_of(const BarFigure& figure) {
  TextTable table{.head = {""}};
  for (const Series& part : figure.parts) table.head.push_back(part.label);
  table.head.emplace_back("total");
  for (std::size_t i = 0; i < figure.bars.size(); ++i) {
    auto& row = table.rows.emplace_back(std::vector{figure.bars[i]});
    double total = 0;
    for (const Series& part : figure.parts) {
      row.push_back(part.y[i] == 0 ? "" : bytes_text(part.y[i]));
      total += part.y[i];
    }
    row.push_back(bytes_text(total));
  }
  return table;
}

Json to_json(const std::vector<LineFigure>& lines, const BarFigure& bars,
             const std::vector<StepMark>& marks) {
  Json all{{"lines", Json::array()}, {"bars", Json::array()}, {"marks", Json::array()}};
  for (const LineFigure& figure : lines) {
    all["lines"].push_back({{"id", figure.id},
                            {"unit", name_of(figure.unit)},
                            {"zero", figure.starts_at_zero},
                            {"series", json_of(figure.lines)}});
  }
  if (!bars.bars.empty()) {
    all["bars"].push_back({{"id", bars.id},
                           {"unit", name_of(bars.unit)},
                           {"labels", bars.bars},
                           {"series", json_of(bars.parts)}});
  }
  for (const StepMark& mark : marks) {
    all["marks"].push_back({{"step", mark.step}, {"label", mark.label}});
  }
  return all;
}

}  // namespace masformer
