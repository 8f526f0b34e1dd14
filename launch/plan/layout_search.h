// Searches for the layout whose step is predicted to take the least time: tensor x pipeline x
// context x data, the micro-batch, the schedule and its chunks, recomputation, and how full layers
// are shared. Options that the user set are kept, and so is the global batch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launch/options/options.h"
#include "launch/plan/prediction.h"
#include "launch/plan/ruled_out.h"

namespace masformer {

struct SearchRequest {
  Options options;  // plan.memory_gib must be set
  std::function<bool(const std::string& option)> is_set;
  int ranks = 1;
  std::int64_t store_vocab = 0;  // as for make_run_plan()
  const DeviceFigures* figures = nullptr;
  int keep = 8;  // how many layouts to return
  // Measured times of layers, if the options leave only one mesh, micro-batch and exchange of full
  // layers, which they are of. Null: estimated from `figures`.
  const LayerTimes* times = nullptr;
};

struct FoundLayout {
  Options options;  // those of the request, with the choices
  RunPlan plan;
  Prediction prediction;
};

struct SearchResult {
  std::vector<FoundLayout> found;   // the fastest first; of equal ones, the one tried first
  std::vector<RuledOut> ruled_out;  // all others; the most frequent reason first
};

// The figures to predict with: those of plan.device, whose kind runtime.device then takes, or of
// runtime.device.
const DeviceFigures& choose_figures(Options& options);

// The GiB per rank to plan for if plan.memory_gib is 0: the memory of the device, or on CPUs
// `host_share` bytes.
double memory_to_plan_for(const DeviceFigures& figures, std::int64_t host_share);

// Deterministic. Throws UsageError if no layout is possible, with the reasons.
SearchResult search_layouts(const SearchRequest& request);

// The options that lead `train` to this plan, beside those that say what is trained.
std::vector<std::pair<std::string, std::string>> chosen_options(const Options& options,
                                                                const RunPlan& plan);

}  // namespace masformer
