#include "launch/report/run_summary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "launch/report/units.h"
#include "model/memory/activation_plan.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

using Json = nlohmann::json;
using Fact = std::pair<const char*, std::function<std::string(const RunFiles&)>>;

const Event* last_event(const RunFiles& run, EventKind kind) {
  const auto found = std::find_if(run.events.rbegin(), run.events.rend(),
                                  [&](const Event& event) { return event.kind == kind; });
  return found == run.events.rend() ? nullptr : &*found;
}

std::int64_t count_of(const RunFiles& run, EventKind kind) {
  return std::ranges::count(run.events, kind, &Event::kind);
}

// The value of a key as words; "" if there is none.
std::string words_of(const Json& object, const std::string& key) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null()) return "";
  return json_words(object[key]);
}

double number_of(const Json& object, const std::string& key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return 0;
  return object[key].get<double>();
}

Fact start_fact(const char* name, const char* key) {
  return {name, [key](const RunFiles& run) {
            const Event* const start = last_event(run, EventKind::start);
            return start == nullptr ? "" : words_of(start->fields, key);
          }};
}

std::string layout_of(const RunFiles& run) {
  const Json layout = run.plan.is_object() ? run.plan.value("layout", Json()) : Json();
  std::string text;
  for (const char* const axis : {"pipeline", "data", "context", "tensor"}) {
    const std::string ranks = words_of(layout, axis);
    if (!ranks.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : " x ", axis, ranks);
  }
  const std::string schedule = words_of(run.plan, "schedule");
  const bool has_pipeline = number_of(layout, "pipeline") > 1;
  if (has_pipeline && !schedule.empty()) text += ", schedule " + schedule;
  const std::string micro_batches = words_of(run.plan, "micro_batches");
  if (!micro_batches.empty()) text += fmt::format(", {} micro-batches", micro_batches);
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
  if (last.kind != EventKind::stop) return "no stop is recorded: it runs, or was killed";
  return fmt::format("{} UTC: {}", date_text(last.time), words_of(last.fields, "reason"));
}

std::string first_date(const RunFiles& run) {
  return run.events.empty() ? "" : date_text(run.events.front().time) + " UTC";
}

std::string restarts_of(const RunFiles& run) {
  const std::int64_t restarts = count_of(run, EventKind::restart);
  double lost = 0;
  for (const Event& event : run.events) {
    if (event.kind == EventKind::restart) lost += number_of(event.fields, "lost_steps");
  }
  return lost > 0 ? fmt::format("{}, which lost {} steps", restarts, lost)
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
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::ranges::nth_element(numbers, middle);
  return text(*middle);
}

std::string sum_of_seconds(const RunFiles& run, EventKind kind) {
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

std::string share_text(double share) {
  return fmt::format("{:.1f}%", 100 * share);
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
      {"time in steps", step_seconds_of},
      {"evaluations",
       [](const RunFiles& run) { return sum_of_seconds(run, EventKind::evaluation); }},
      {"checkpoints saved",
       [](const RunFiles& run) { return sum_of_seconds(run, EventKind::save); }}};
}

std::string describe_event(const Event& event) {
  switch (event.kind) {
    case EventKind::start: {
      const std::string resumed = words_of(event.fields, "resumed");
      return fmt::format("{} ranks, {}", words_of(event.fields, "ranks"),
                         resumed.empty() ? "from the beginning" : "after step " + resumed);
    }
    case EventKind::restart: {
      const bool stopped = event.fields.value("stopped", Json()) == true;
      return fmt::format(
          "{}; {} steps lost",
          stopped ? "the start before had stopped" : "the start before had been killed",
          number_of(event.fields, "lost_steps"));
    }
    case EventKind::evaluation:
      return fmt::format(
          "held-out loss {} over {} tokens, {}", number_text(number_of(event.fields, "loss")),
          words_of(event.fields, "tokens"), duration_text(number_of(event.fields, "seconds")));
    case EventKind::save:
      return fmt::format("{}, {}, {}", words_of(event.fields, "path"),
                         bytes_text(number_of(event.fields, "bytes")),
                         duration_text(number_of(event.fields, "seconds")));
    case EventKind::stop:
      return fmt::format("{}, exit status {} {}", words_of(event.fields, "reason"),
                         words_of(event.fields, "status"), words_of(event.fields, "text"));
    case EventKind::note:
    case EventKind::warning:
      return words_of(event.fields, "text");
    case EventKind::memory:
      return "";
  }
  return "";
}

// A list in an object; empty if it is none.
Json list_of(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return Json::array();
  return object[key];
}

std::string milliseconds(double seconds) {
  return fmt::format("{:.3f}", 1e3 * seconds);
}

std::string share_of(double seconds, const Json& stage) {
  const double total = number_of(stage, "seconds");
  return total > 0 ? share_text(seconds / total) : "";
}

// Whether a layer's row of the profile has this pass.
bool has_pass(const RunFiles& run, const std::string& pass) {
  for (const Json& stage : list_of(run.profile, "stages")) {
    for (const Json& row : list_of(stage, "layers")) {
      const bool is_object = row.is_object() && row.contains("seconds_by_pass");
      if (is_object && number_of(row["seconds_by_pass"], pass) > 0) return true;
    }
  }
  return false;
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

TextTable event_table(const RunFiles& run) {
  TextTable table{.head = {"time, UTC", "step", "event", ""}};
  for (const Event& event : run.events) {
    if (event.kind == EventKind::memory) continue;
    table.rows.push_back({date_text(event.time), std::to_string(event.step),
                          std::string(name_of(event.kind)), describe_event(event)});
  }
  return table;
}

TextTable save_table(const RunFiles& run) {
  TextTable table{.head = {"step", "time, UTC", "took", "bytes", "per second"}};
  for (const Event& event : run.events) {
    if (event.kind != EventKind::save) continue;
    const double seconds = number_of(event.fields, "seconds");
    const double bytes = number_of(event.fields, "bytes");
    table.rows.push_back({std::to_string(event.step), date_text(event.time), duration_text(seconds),
                          bytes_text(bytes), seconds > 0 ? bytes_text(bytes / seconds) : ""});
  }
  return table;
}

TextTable unfinished_table(const RunFiles& run) {
  TextTable table{.head = {"rank", "stage", "step", "what", "since, UTC"}};
  for (const Recording& recording : run.recordings) {
    for (const Record& record : recording.records) {
      if (record.end >= record.begin) continue;
      const RecordFields& fields = record.fields;
      std::string what = recording.names[fields.name];
      if (fields.micro_batch >= 0) what += fmt::format(" of micro-batch {}", fields.micro_batch);
      if (fields.group != no_name) {
        what += fmt::format(" {} of group {}, {}", fields.of_group, recording.names[fields.group],
                            bytes_text(static_cast<double>(fields.bytes)));
      }
      if (fields.peer >= 0) what += fmt::format(", peer {}", fields.peer);
      table.rows.push_back(
          {std::to_string(recording.rank.rank), std::to_string(recording.rank.pipe),
           std::to_string(record.step), what,
           date_text(1e-9 * static_cast<double>(record.begin + recording.clock_offset))});
    }
  }
  return table;
}

TextTable op_profile_table(const RunFiles& run) {
  TextTable table{.head = {"op", "stage", "calls", "ms", "share", "GFLOP/s", "of peak"}};
  for (const Json& stage : list_of(run.profile, "stages")) {
    const std::string number = words_of(stage, "stage");
    const double peak = number_of(stage, "peak_flops");
    const auto add = [&](const std::string& name, const Json& row, double seconds) {
      const double rate = seconds > 0 ? number_of(row, "flops") / seconds : 0;
      table.rows.push_back({name, number, words_of(row, "calls"), milliseconds(seconds),
                            share_of(seconds, stage),
                            rate > 0 ? fmt::format("{:.1f}", rate / 1e9) : "",
                            rate > 0 && peak > 0 ? share_text(rate / peak) : ""});
    };
    for (const Json& row : list_of(stage, "ops")) {
      add(words_of(row, "name"), row, number_of(row, "seconds"));
    }
    for (const Json& row : list_of(stage, "waits")) {
      add("wait for " + words_of(row, "name"), row, number_of(row, "seconds"));
    }
    add("other", {}, number_of(stage, "other_seconds"));
    add("total", {}, number_of(stage, "seconds"));
  }
  return table;
}

TextTable layer_profile_table(const RunFiles& run) {
  std::vector<std::string> passes = names_of<Pass>();
  std::erase_if(passes, [&](const std::string& pass) { return !has_pass(run, pass); });
  TextTable table{.head = {"layer", "stage"}};
  for (const std::string& pass : passes) table.head.push_back(pass + ", ms");
  table.head.insert(table.head.end(), {"ms", "share"});
  for (const Json& stage : list_of(run.profile, "stages")) {
    for (const Json& row : list_of(stage, "layers")) {
      const std::string name = words_of(row, "name");
      const Json by_pass = row.is_object() ? row.value("seconds_by_pass", Json()) : Json();
      auto& cells = table.rows.emplace_back(
          std::vector{name.empty() ? "outside of layers" : name, words_of(stage, "stage")});
      for (const std::string& pass : passes) {
        const double seconds = number_of(by_pass, pass);
        cells.push_back(seconds > 0 ? milliseconds(seconds) : "");
      }
      const double seconds = number_of(row, "seconds");
      cells.push_back(milliseconds(seconds));
      cells.push_back(share_of(seconds, stage));
    }
  }
  return table;
}

}  // namespace masformer
