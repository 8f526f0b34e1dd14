// What a run left in its folder, as `masformer report` reads it (docs/metrics.md). Any of the files
// may be missing or damaged: what is there is taken, and `remarks` says what is not.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "launch/output/events.h"
#include "parallel/recorder.h"

namespace masformer {

// metrics.jsonl by columns. A number that a line lacks, or that is no finite number, is NaN.
struct MetricColumns {
  std::vector<double> steps;  // ascending
  // By key, one number for each step; those of objects as "sent_bytes.tensor".
  std::map<std::string, std::vector<double>> columns;

  // The column; NaN for each step if there is none.
  std::vector<double> column(const std::string& key) const;
};

struct RunFiles {     // NOLINT(bugprone-exception-escape): clang-tidy mistrusts nlohmann's move
  std::string name;   // as the user wrote the folder's path
  std::string label;  // of its lines and columns, beside other runs
  MetricColumns metrics;
  std::vector<Event> events;
  nlohmann::json plan, profile;       // null if there is none
  std::vector<Recording> recordings;  // by rank, of ranks of one job
  std::vector<std::string> remarks;   // sentences for a person
};

// Reads a run's folder. Where a rank has a recording on this host that its run has not moved to the
// folder (it runs, or was killed), takes that one, unless the folder's is of a later start. Throws
// UsageError if the folder has none of metrics.jsonl, events.jsonl and plan.json.
RunFiles read_run(const std::filesystem::path& folder);

// Reads several, and makes their labels the last parts of their paths if these differ.
std::vector<RunFiles> read_runs(const std::vector<std::string>& folders);

// Parses lines of metrics.jsonl. If a step has several, the last one counts. Adds a remark if lines
// are damaged.
MetricColumns read_metrics(const std::filesystem::path& path, std::vector<std::string>& remarks);

}  // namespace masformer
