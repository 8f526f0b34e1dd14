// What the start page says of a plan.
#pragma once

#include <limits>
#include <string>

#include "launch/plan/run_plan.h"

namespace masformer {

inline constexpr int all_stages = std::numeric_limits<int>::max();

// Each line ends with a newline. The first: model, layout, and how layers compute. The second: what
// `options` leave open, and how it was chosen. Stages and spans beyond a few are left out.
std::string describe_model(const RunPlan& plan);
std::string describe_choices(const RunPlan& plan, const Options& options);
// Both with the memory per rank, but without reasons.
std::string describe(const RunPlan& plan);
// What all blocks have in common, and their spans, in a few words.
std::string describe_blocks(const ModelConfig& model);
// "8 layers, hidden 256, 4 heads, ffn 1024, vocabulary 257, positions 512, spans full*8; 6408192
// parameters"
std::string describe_model(const ModelConfig& model);
// The blocks on a pipeline stage, chunk by chunk: "layers 0-5, layers 18-23".
std::string layers_of(const RunPlan& plan, int stage);
// The largest memory of a stage's ranks.
MemoryTable largest_memory(const RunPlan& plan, int stage, Purpose purpose);
// The memory per rank of each pipeline stage, or of `rows` of them.
std::string describe_memory(const RunPlan& plan, Purpose purpose, int rows = all_stages);

}  // namespace masformer
