#include "launch/report/event_tables.h"

#include <fmt/format.h>

#include "launch/report/json_fields.h"
#include "launch/report/units.h"
#include "runtime/counted.h"

namespace masformer {
namespace {

// "4 ranks"; "0 ranks" if the field is missing.
std::string counted_of(const nlohmann::json& fields, const char* key, std::string_view noun) {
  return counted(static_cast<std::int64_t>(number_of(fields, key)), noun);
}

std::string describe_event(const Event& event) {
  switch (event.kind) {
    case EventKind::start: {
      const std::string resumed = words_of(event.fields, "resumed");
      return fmt::format("{}, {}", counted_of(event.fields, "ranks", "rank"),
                         resumed.empty() ? "from the beginning" : "after step " + resumed);
    }
    case EventKind::restart: {
      const bool stopped = words_of(event.fields, "stopped") == "true";
      return fmt::format(
          "continues a run that {}; {} lost",
          stopped ? "had stopped" : "ended without a record: killed, or a rank failed",
          counted_of(event.fields, "lost_steps", "step"));
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
      return fmt::format("{}, exit status {} {}", reason_of_stop(event.fields),
                         words_of(event.fields, "status"), words_of(event.fields, "text"));
    case EventKind::note:
    case EventKind::warning:
      return words_of(event.fields, "text");
    case EventKind::memory:
      return "";
  }
  return "";
}

}  // namespace

std::string reason_of_stop(const nlohmann::json& fields) {
  const std::string reason = words_of(fields, "reason");
  return reason == "signal" ? "stopped by a signal" : reason;
}

TextTable event_table(const RunFiles& run) {
  TextTable table{.head = {"time, UTC", "step", "event", "details"}};
  for (const Event& event : run.events) {
    if (event.kind == EventKind::memory) continue;
    table.rows.push_back({date_text(event.time), std::to_string(event.step),
                          std::string(name_of(event.kind)), describe_event(event)});
  }
  return table;
}

TextTable save_table(const RunFiles& run) {
  TextTable table{.head = {"step", "time, UTC", "took", "size", "rate"}};
  for (const Event& event : run.events) {
    if (event.kind != EventKind::save) continue;
    const double seconds = number_of(event.fields, "seconds");
    const double bytes = number_of(event.fields, "bytes");
    table.rows.push_back({std::to_string(event.step), date_text(event.time), duration_text(seconds),
                          bytes_text(bytes),
                          seconds > 0 ? bytes_text(bytes / seconds) + "/s" : ""});
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

}  // namespace masformer
