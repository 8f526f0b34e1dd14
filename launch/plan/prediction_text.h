// Predictions as text for a person, as JSON for a program, and as a picture.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "launch/plan/layout_search.h"

namespace masformer {

// A line per found layout, fastest first, and what ruled out the others.
std::string describe(const SearchResult& result);

// The stages of a predicted plan: what they hold, how long they take, and their memory.
std::string describe_stages(const RunPlan& plan, const Prediction& prediction);

// A line on what a step takes if the stages take `factors` times as long (stragglers.h): `seconds`.
std::string describe_what_if(const Prediction& prediction, const std::vector<double>& factors,
                             double seconds);

// For `masformer plan --json` and RUN_DIR/plan.json. Its keys are those of docs/planning.md.
nlohmann::json to_json(const Options& options, const RunPlan& plan, const Prediction& prediction);

// Bytes by kind, and `total`.
nlohmann::json to_json(const MemoryTable& memory);

// For RUN_DIR/plan.json in addition: when each stage runs which action. A list for each stage of
// [kind, micro-batch, chunk, begin, end], in seconds since the step began.
nlohmann::json actions_json(const RunPlan& plan, const Prediction& prediction);

// When each stage runs which action in a step, as SVG.
std::string draw_step(const FoundLayout& layout);

}  // namespace masformer
