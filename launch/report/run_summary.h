// What runs are and what they reached, in a table.
#pragma once

#include <vector>

#include "launch/report/markup.h"
#include "launch/report/run_files.h"

namespace masformer {

// A row for each fact (model, layout, dates, last loss, ...), a column for each run.
TextTable summary_table(const std::vector<RunFiles>& runs);

}  // namespace masformer
