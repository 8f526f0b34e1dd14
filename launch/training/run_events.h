// What a run's events say about its start, its memory and its end (launch/output/events.h).
#pragma once

#include <cstdint>
#include <functional>

#include <nlohmann/json.hpp>

#include "launch/options/options.h"
#include "launch/training/job.h"
#include "launch/training/run_output.h"

namespace masformer {

// How a run starts.
struct RunStart {
  std::int64_t done = 0;      // steps done before
  bool has_searched = false;  // --plan has set the options of the layout that the user left open
};

// The fields of EventKind::start.
nlohmann::json start_fields(const Job& job, const Options& options, const OptionTable& table,
                            const RunStart& start);

// Records the memory of each stage: as planned, as allocated, and the largest that its processes
// have taken so far. `planned`: a list of MemoryTables as plan.json has them, which only rank 0
// needs. Collective.
void record_memory(Job& job, const nlohmann::json& planned, RunOutput& output);

// Runs it and returns its result. Records its end, also if it throws.
ExitCode recording_its_end(RunOutput& output, const std::function<ExitCode()>& run);

}  // namespace masformer
