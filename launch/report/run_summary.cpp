#include "launch/report/run_summary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "launch/report/event_tables.h"
#include "launch/report/json_fields.h"
#include "launch/report/units.h"
#include "parallel/comm/json_text.h"
#include "runtime/counted.h"

namespace masformer {
namespace {

using Fact = std::pair<const char*, std::function<std::string(const RunFiles&)>>;

const Event* last_event(const RunFiles& run, EventKind kind) {
  const auto found = std::find_if(run.events.rbegin(), run.events.rend(),
                                  [&](const Event& event) { return event.kind == kind; });
  return found == run.events.rend() ? nullptr : &*found;
}

std::int64_t count_of(const RunFiles& run, EventKind kind) {
  return std::ranges::count(run.events, kind, &Event::kind);
}

Fact start_fact(const char* name, const char* key) {
  return {name, [key](const RunFiles& run) {
            const Event* const start = last_event(run, EventKind::start);
            return start == nullptr ? "" : words_of(start->fields, key);
          }};
}

std::string layout_of(const RunFiles& run) {
  const nlohmann::json layout = object_of(run.plan, "layout");
  std::string text;
  for (const char* const axis : {"pipeline", "data", "context", "tensor"}) {
    const std::string ranks = words_of(layout, axis);
    if (!ranks.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : " x ", axis, ranks);
  }
  const std::string schedule = words_of(run.plan, "schedule");
  const bool has_pipeline = number_of(layout, "pipeline") > 1;
  if (has_pipeline && !schedule.empty()) text += ", schedule " + schedule;
  const double micro_batches = number_of(run.plan, "micro_batches");
  if (micro_batches > 0) {
    text += ", " + counted(static_cast<std::int64_t>(micro_batches), "micro-batch");
  }
  return text;
}

std::string chosen_of(const RunFiles& run) {
  const Event* const start = last_event(run, EventKind::start);
  if (start == nullptr || !start->fields.contains("chosen")) return "";
  std::string text;
  for (const auto& [name, value] : start->fields["chosen"].items()) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, json_words(value));
  }
  return text;
}

std::string end_of_run(const RunFiles& run) {
  if (run.events.empty()) return "";
  const Event& last = run.events.back();
  if (last.kind != EventKind::stop) {
    return "no stop is recorded: it runs, or ended without a record: killed, or a rank failed";
  }
  return fmt::format("{} UTC: {}", date_text(last.time), reason_of_stop(last.fields));
}

std::string first_date(const RunFiles& run) {
  return run.events.empty() ? "" : date_text(run.events.front().time) + " UTC";
}

std::string restarts_of(const RunFiles& run) {
  if (run.events.empty()) return "";
  const std::int64_t restarts = count_of(run, EventKind::restart);
  double lost = 0;
  for (const Event& event : run.events) {
    if (event.kind == EventKind::restart) lost += number_of(event.fields, "lost_steps");
  }
  return lost > 0 ? fmt::format("{}, which lost {}", restarts,
                                counted(static_cast<std::int64_t>(lost), "step"))
                  : std::to_string(restarts);
}

std::string last_number(const RunFiles& run, const std::string& key) {
  const std::vector<double> column = run.metrics.column(key);
  const auto found = std::find_if(column.rbegin(), column.rend(),
                                  [](double number) { return !std::isnan(number); });
  return found == column.rend() ? "" : number_text(*found);
}

std::string median_of(const RunFiles& run, const std::string& key,
                      const std::function<std::string(double)>& text) {
  std::vector<double> numbers = run.metrics.column(key);
  std::erase_if(numbers, [](double number) { return std::isnan(number); });
  if (numbers.empty()) return "";
  std::ranges::sort(numbers);
  return text((numbers[(numbers.size() - 1) / 2] + numbers[numbers.size() / 2]) / 2);
}

std::string sum_of_seconds(const RunFiles& run, EventKind kind) {
  if (run.events.empty()) return "";
  double seconds = 0;
  for (const Event& event : run.events) {
    if (event.kind == kind) seconds += number_of(event.fields, "seconds");
  }
  const std::int64_t count = count_of(run, kind);
  return count == 0 ? "0" : fmt::format("{} in {}", count, duration_text(seconds));
}

std::string step_seconds_of(const RunFiles& run) {
  double seconds = 0;
  for (const double step : run.metrics.column("step_seconds"))
    seconds += std::isnan(step) ? 0 : step;
  return seconds == 0 ? "" : duration_text(seconds);
}

std::string predicted_of(const RunFiles& run) {
  const double seconds = number_of(run.plan, "step_seconds");
  return seconds > 0 ? duration_text(seconds) : "";
}

std::vector<Fact> all_facts() {
  return {
      start_fact("model", "model"),
      {"layout", layout_of},
      start_fact("ranks", "ranks"),
      {"chosen automatically", chosen_of},
      start_fact("device", "device"),
      start_fact("dtype", "dtype"),
      start_fact("version", "version"),
      start_fact("commit", "commit"),
      {"first start", first_date},
      {"end", end_of_run},
      {"restarts", restarts_of},
      {"last step",
       [](const RunFiles& run) {
         const std::string last =
             run.metrics.steps.empty() ? "" : number_text(run.metrics.steps.back());
         const Event* const start = last_event(run, EventKind::start);
         const std::string all = start == nullptr ? "" : words_of(start->fields, "steps");
         return last.empty() || all.empty() ? last : fmt::format("{} of {}", last, all);
       }},
      {"last loss, nats per token", [](const RunFiles& run) { return last_number(run, "loss"); }},
      {"last held-out loss", [](const RunFiles& run) { return last_number(run, "eval_loss"); }},
      {"tokens", [](const RunFiles& run) { return last_number(run, "tokens"); }},
      {"tokens per second, median",
       [](const RunFiles& run) { return median_of(run, "tokens_per_second", number_text); }},
      {"share of peak, median",
       [](const RunFiles& run) { return median_of(run, "mfu", share_text); }},
      {"step, median",
       [](const RunFiles& run) { return median_of(run, "step_seconds", duration_text); }},
      {"step, predicted", predicted_of},
      {"times of blocks from", [](const RunFiles& run) { return words_of(run.plan, "costs"); }},
      {"time spent in steps", step_seconds_of},
      {"evaluations",
       [](const RunFiles& run) { return sum_of_seconds(run, EventKind::evaluation); }},
      {"checkpoints saved",
       [](const RunFiles& run) { return sum_of_seconds(run, EventKind::save); }}};
}

}  // namespace

TextTable summary_table(const std::vector<RunFiles>& runs) {
  TextTable table;
  if (runs.size() > 1) {
    table.head.emplace_back("");
    for (const RunFiles& run : runs) table.head.push_back(run.label);
  }
  for (const auto& [name, text] : all_facts()) {
    std::vector<std::string> row{name};
    for (const RunFiles& run : runs) row.push_back(text(run));
    const bool is_known = std::any_of(row.begin() + 1, row.end(),
                                      [](const std::string& cell) { return !cell.empty(); });
    if (is_known) table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace masformer
