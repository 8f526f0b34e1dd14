// What a run's events say about its start, its memory and its end (launch/output/events.h).
#pragma once

#include <cstdint>
#include <functional>

#include <nlohmann/json.hpp>

#include "launch/options/options.h"
#include "launch/training/job.h"
#include "launch/training/run_output.h"

namespace masformer {

// The fields of EventKind::start. `done`: steps done before.
nlohmann::json start_fields(const Job& job, const Options& options, const OptionTable& table,
                            std::int64_t done);

// Records the memory of each stage: as planned, as allocated, and the largest that its processes
// have taken so far. Collective.
void record_memory(Job& job, RunOutput& output);

// Runs it and returns its result. Records its end, also if it throws.
ExitCode recording_its_end(RunOutput& output, const std::function<ExitCode()>& run);

}  // namespace masformer
