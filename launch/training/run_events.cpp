#include "launch/training/run_events.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <sys/resource.h>

#include "launch/plan/describe.h"
#include "launch/plan/layout_search.h"
#include "launch/plan/prediction_text.h"
#include "launch/version.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

// The options of the layout that the user left open and that are no plain defaults: those that say
// "auto" or 0, and those that --plan has set.
nlohmann::json chosen_automatically(const Job& job, const Options& options,
                                    const OptionTable& table, bool has_searched) {
  nlohmann::json chosen = nlohmann::json::object();
  for (const auto& [name, value] : chosen_options(options, job.plan)) {
    if (!table.was_set(name) && (has_searched || table.is_open(name))) chosen[name] = value;
  }
  const std::string order = "parallel.context_order";
  if (job.plan.mesh.context == 1) {  // there was nothing to choose
    chosen.erase("parallel.context_full");
  } else if (table.is_open(order)) {
    chosen[order] = job.plan.policy.sharding->to_string();
  }
  return chosen;
}

// Bytes of host memory that this process has taken at most, so far.
std::int64_t process_peak() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// Of the ranks of a stage: what the one with most has allocated, and the largest peak.
nlohmann::json stage_memory(const std::vector<nlohmann::json>& ranks, int stage) {
  nlohmann::json allocated = to_json(MemoryTable{});
  std::int64_t peak = 0;
  for (const nlohmann::json& rank : ranks) {
    if (rank.at("stage") != stage) continue;
    if (rank.at("allocated").at("total") > allocated.at("total")) allocated = rank.at("allocated");
    peak = std::max(peak, rank.at("peak").get<std::int64_t>());
  }
  return {{"stage", stage}, {"allocated", allocated}, {"process_peak_bytes", peak}};
}

void record_stop(RunOutput& output, std::string_view reason, ExitCode status,
                 const std::string& text) {
  nlohmann::json fields{{"reason", reason}, {"status", static_cast<int>(status)}};
  if (!text.empty()) fields["text"] = text;
  output.record(EventKind::stop, output.step(), fields);
}

}  // namespace

nlohmann::json start_fields(const Job& job, const Options& options, const OptionTable& table,
                            const RunStart& start) {
  const Mesh& mesh = job.plan.mesh;
  nlohmann::json layout;
  for (const Axis axis : all_axes) layout[name_of(axis)] = mesh.extent(axis);
  const DeviceStream* const device = job.stream.device_stream();
  return {{"version", program_version()},
          {"commit", build_commit()},
          {"ranks", mesh.size()},
          {"layout", layout},
          {"model", describe_model(job.plan.model)},
          {"dtype", name_of(job.plan.policy.dtype)},
          {"device", device == nullptr ? "cpu" : device->name()},
          {"steps", options.train.steps},
          {"resumed", start.done > 0 ? nlohmann::json(start.done) : nlohmann::json()},
          {"chosen", chosen_automatically(job, options, table, start.has_searched)}};
}

void record_memory(Job& job, const nlohmann::json& planned, RunOutput& output) {
  const auto ranks = all_gather_json(job.world(), {{"stage", job.groups.at.pipe},
                                                   {"allocated", to_json(job.stage.memory())},
                                                   {"peak", process_peak()}});
  if (!job.first()) return;
  nlohmann::json stages = nlohmann::json::array();
  for (int stage = 0; stage < job.plan.mesh.pipe; ++stage) {
    stages.push_back(stage_memory(ranks, stage));
    stages.back()["planned"] = planned.at(static_cast<std::size_t>(stage));
  }
  output.record(EventKind::memory, output.step(), {{"stages", stages}});
}

ExitCode recording_its_end(RunOutput& output, const std::function<ExitCode()>& run) {
  try {
    const ExitCode status = run();
    record_stop(output, status == ExitCode::interrupted ? "signal" : "done", status, "");
    return status;
  } catch (const UsageError& error) {
    record_stop(output, "failure", ExitCode::unusable, error.what());
    throw;
  } catch (const std::exception& error) {
    record_stop(output, "failure", ExitCode::failure, error.what());
    throw;
  }
}

}  // namespace masformer
