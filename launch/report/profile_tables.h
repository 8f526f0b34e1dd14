// The profile of a step as tables.
#pragma once

#include "launch/report/markup.h"
#include "launch/report/run_files.h"

namespace masformer {

// The tables of train.profile_step (RUN_DIR/profile.json): by op, and by layer and pass. Without
// rows if the run has no profile.
TextTable op_profile_table(const RunFiles& run);
TextTable layer_profile_table(const RunFiles& run);

}  // namespace masformer
