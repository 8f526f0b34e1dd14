// What happened in a run, and what its ranks were doing at last, as tables.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "launch/report/markup.h"
#include "launch/report/run_files.h"

namespace masformer {

// A row for each event, in the order of time, without those that have figures of their own.
TextTable event_table(const RunFiles& run);

// Why a run ended, in words, from the fields of its event `stop`.
std::string reason_of_stop(const nlohmann::json& fields);

// The checkpoints that were saved, with what they took.
TextTable save_table(const RunFiles& run);

// What each rank was doing when its recording ends: records without an end. Without rows if all
// ended, as those of a run that stopped by itself.
TextTable unfinished_table(const RunFiles& run);

}  // namespace masformer
