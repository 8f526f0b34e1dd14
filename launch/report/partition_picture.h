// Which stage holds which block, and what each block costs.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "launch/report/markup.h"

namespace masformer {

// An SVG element: a bar for each block of the model and for its two ends, as high as its seconds in
// `plan` (RUN_DIR/plan.json), in a grey that changes from part to
// part. "" if the plan has no costs.
std::string draw_partition(const nlohmann::json& plan);
// The same numbers; without rows if the plan has no costs.
TextTable partition_table(const nlohmann::json& plan);

}  // namespace masformer
