// What happened in runs, as tables.
#pragma once

#include <string>
#include <vector>

#include "launch/report/markup.h"
#include "launch/report/run_files.h"

namespace masformer {

// A row for each fact (model, layout, dates, last loss, ...), a column for each run.
TextTable summary_table(const std::vector<RunFiles>& runs);

// A row for each event, in the order of time, without those that have figures of their own.
TextTable event_table(const RunFiles& run);

// The checkpoints that were saved, with what they took.
TextTable save_table(const RunFiles& run);

// What each rank was doing when its recording ends: records without an end. Without rows if all
// ended, as those of a run that stopped by itself.
TextTable unfinished_table(const RunFiles& run);

// The tables of train.profile_step (RUN_DIR/profile.json): by op, and by layer and pass. Without
// rows if the run has no profile.
TextTable op_profile_table(const RunFiles& run);
TextTable layer_profile_table(const RunFiles& run);

}  // namespace masformer
