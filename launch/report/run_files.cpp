#include "launch/report/run_files.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "launch/training/run_recorder.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Numbers = std::map<std::string, double>;  // of one step

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

// The numbers of an object, and of the objects in it.
void add_numbers(const Json& object, const std::string& prefix, Numbers& numbers) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_number()) numbers[prefix + key] = value.get<double>();
    if (value.is_object() && prefix.empty()) add_numbers(value, key + ".", numbers);
  }
}

Json read_json(const fs::path& path, std::vector<std::string>& remarks) {
  std::error_code unknown;
  if (!fs::exists(path, unknown)) return nullptr;
  Json json = Json::parse(std::ifstream(path), nullptr, false);
  if (json.is_object()) return json;
  remarks.push_back(fmt::format("{} is damaged.", path.filename().string()));
  return nullptr;
}

void remark_on_damage(const char* name, std::int64_t lines, std::vector<std::string>& remarks) {
  if (lines == 0) return;
  remarks.push_back(lines == 1 ? fmt::format("{}: 1 damaged line is left out.", name)
                               : fmt::format("{}: {} damaged lines are left out.", name, lines));
}

// The newest recording of a rank that is still in this host's memory; "" if there is none.
fs::path live_recording(const LiveRecordings& live, int rank) {
  fs::path newest;
  fs::file_time_type time{};
  std::error_code error;
  for (fs::directory_iterator entry(live.folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->path().filename().string().starts_with(live.prefix_of(rank))) continue;
    std::error_code unknown;
    const fs::file_time_type written = entry->last_write_time(unknown);
    if (unknown || (!newest.empty() && written <= time)) continue;
    newest = entry->path();
    time = written;
  }
  return newest;
}

// The recording that is left of a rank's last start. A file in memory has the time at which its
// rank started, a kept one that at which it ended.
fs::path newest_recording(const fs::path& folder, const LiveRecordings& live, int rank) {
  fs::path in_memory = live_recording(live, rank), kept = kept_recording(folder, rank);
  if (in_memory.empty()) return kept;
  std::error_code no_kept, gone;
  const fs::file_time_type ended = fs::last_write_time(kept, no_kept);
  const fs::file_time_type started = fs::last_write_time(in_memory, gone);
  return gone || (!no_kept && ended > started) ? kept : in_memory;
}

// Nothing if the rank has no recording; a remark if it can't be read.
std::vector<Recording> read_rank(const fs::path& folder, const LiveRecordings& live, int rank,
                                 std::vector<std::string>& remarks) {
  const fs::path path = newest_recording(folder, live, rank);
  std::error_code unknown;
  if (!fs::exists(path, unknown)) return {};
  try {
    return {read_recording(path)};
  } catch (const std::exception& error) {
    remarks.push_back(fmt::format("The recording of rank {} is left out: {}.", rank, error.what()));
    return {};
  }
}

// Of as many ranks as the first one says; files of ranks of an earlier job with more are left out.
std::vector<Recording> read_recordings(const fs::path& folder, std::vector<std::string>& remarks) {
  const LiveRecordings live(folder);
  std::vector<Recording> recordings = read_rank(folder, live, 0, remarks);
  const int ranks = recordings.empty() ? 0 : recordings[0].rank.ranks;
  for (int rank = 1; rank < ranks; ++rank) {
    for (Recording& recording : read_rank(folder, live, rank, remarks)) {
      if (recording.rank.ranks == ranks) recordings.push_back(std::move(recording));
    }
  }
  const int absent = ranks - static_cast<int>(recordings.size());
  if (absent > 0) {
    remarks.push_back(fmt::format("Recordings of {} of {} ranks are missing.", absent, ranks));
  }
  return recordings;
}

EventFile read_events_of(const fs::path& path, std::vector<std::string>& remarks) {
  try {
    EventFile file = read_events(path);
    remark_on_damage("events.jsonl", file.damaged, remarks);
    return file;
  } catch (const std::exception& error) {
    remarks.push_back(fmt::format("{}.", error.what()));
    return {};
  }
}

}  // namespace

std::vector<double> MetricColumns::column(const std::string& key) const {
  const auto found = columns.find(key);
  return found == columns.end() ? std::vector<double>(steps.size(), no_number) : found->second;
}

MetricColumns read_metrics(const fs::path& path, std::vector<std::string>& remarks) {
  std::map<std::int64_t, Numbers> lines;
  std::int64_t damaged = 0;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    const bool has_step = json.is_object() && json.contains("step") &&
                          json["step"].is_number_integer() && json["step"] > 0;
    if (!has_step) {
      ++damaged;
      continue;
    }
    Numbers& numbers = lines[json["step"].get<std::int64_t>()];
    numbers.clear();
    add_numbers(json, "", numbers);
  }
  remark_on_damage("metrics.jsonl", damaged, remarks);
  MetricColumns metrics;
  for (const auto& [step, numbers] : lines) {
    for (const auto& [key, value] : numbers) {
      auto& column = metrics.columns[key];
      column.resize(metrics.steps.size(), no_number);
      column.push_back(std::isfinite(value) ? value : no_number);
    }
    metrics.steps.push_back(static_cast<double>(step));
  }
  for (auto& [key, column] : metrics.columns) column.resize(metrics.steps.size(), no_number);
  return metrics;
}

RunFiles read_run(const fs::path& folder) {
  const auto has = [&](const char* name) {
    std::error_code unknown;
    return fs::exists(folder / name, unknown);
  };
  if (!has("metrics.jsonl") && !has("events.jsonl") && !has("plan.json")) {
    refuse("{} is not the folder of a run: it has no metrics.jsonl, events.jsonl or plan.json",
           folder.string());
  }
  RunFiles run;
  run.name = run.label = folder.string();
  for (const char* const name : {"metrics.jsonl", "events.jsonl", "plan.json"}) {
    if (!has(name)) run.remarks.push_back(fmt::format("{} is missing.", name));
  }
  run.metrics = read_metrics(folder / "metrics.jsonl", run.remarks);
  run.events = read_events_of(folder / "events.jsonl", run.remarks).events;
  run.plan = read_json(folder / "plan.json", run.remarks);
  run.profile = read_json(folder / "profile.json", run.remarks);
  run.recordings = read_recordings(folder, run.remarks);
  if (run.recordings.empty()) {
    run.remarks.emplace_back(
        "There are no recordings, so there is no measured timeline and the trace is empty.");
  }
  return run;
}

std::vector<RunFiles> read_runs(const std::vector<std::string>& folders) {
  std::vector<RunFiles> runs;
  std::set<std::string> last_parts;
  for (const std::string& folder : folders) {
    runs.push_back(read_run(folder));
    runs.back().label = fs::absolute(fs::path(folder) / "").parent_path().filename().string();
    last_parts.insert(runs.back().label);
  }
  if (last_parts.size() == runs.size()) return runs;
  for (RunFiles& run : runs) run.label = run.name;
  return runs;
}

}  // namespace masformer
