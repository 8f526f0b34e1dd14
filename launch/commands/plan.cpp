// masformer plan
#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "data/token_store.h"
#include "launch/commands.h"
#include "launch/options/limits.h"
#include "launch/options/options.h"
#include "launch/output/standard_streams.h"
#include "launch/plan/host_memory.h"
#include "launch/plan/layout_search.h"
#include "launch/plan/prediction_text.h"
#include "launch/plan/stragglers.h"
#include "launch/training/device_choice.h"
#include "launch/training/layer_profile.h"
#include "launch/training/memory_check.h"
#include "parallel/comm/json_text.h"
#include "runtime/counted.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

struct PlanOptions {
  Options run;
  std::int64_t ranks = 0;
  std::int64_t show = 8;
  bool json = false;
  std::string timeline;
  std::string straggler;
};

OptionTable describe(PlanOptions& options) {
  OptionTable table = describe(options.run);
  table.allow_config();
  table.add("ranks", options.ranks, {0, limits::ranks},
            {.value = "N", .help = "Number of ranks to plan for: one per device."});
  table.add("show", options.show, {1, 1000},
            {.value = "N", .help = "How many of the fastest layouts to show."});
  table.add_flag("json", options.json, "Print the fastest layout as one JSON object.");
  table.add("timeline", options.timeline,
            {.value = "FILE",
             .help = "Draw the pipeline of the fastest layout's step in this file, as SVG."});
  table.add(
      "straggler", options.straggler,
      {.value = "LIST",
       .help = "What if ranks were slower: pipeline stages and what their time is multiplied "
               "by, as in 2:1.5,3:2. Shows the step of the fastest layout with and without."});
  return table;
}

std::int64_t store_vocabulary(const Options& options) {
  if (!options.data.path.empty()) return TokenStore(options.data.path).vocabulary();
  if (options.model.vocab == 0) {
    refuse("model.vocab is not set: set it, or data.path to take that of a token store");
  }
  return options.model.vocab;
}

// Whether the options leave one mesh, micro-batch and exchange of full layers only.
bool has_one_shape(const PlanOptions& options, const OptionTable& table) {
  const auto& parallel = options.run.parallel;
  for (const char* const name : {"parallel.tensor", "parallel.pipeline", "parallel.context"}) {
    if (options.ranks > 1 && !table.was_set(name)) return false;
  }
  return table.was_set("train.micro_batch") && (parallel.context == 1 || parallel.context_full);
}

// The first of so many ranks, if they ran here.
ProfiledRank rank_at_hand(const RuntimeOptions& runtime, int ranks) {
  const auto devices = std::ssize(visible_devices(runtime.device));
  const int on_host = devices > 0 ? std::min(ranks, static_cast<int>(devices)) : ranks;
  const Stream stream(runtime.device, threads_of_rank(runtime.threads, on_host));
  return profiled_rank(stream, on_host);
}

// Times of layers that a run on this machine has left for the only shape that the options allow.
// Where several shapes are compared, the costs of all are estimated: measured and estimated times
// are not comparable.
std::optional<MeasuredTimes> find_measured_times(const PlanOptions& options,
                                                 const OptionTable& table) {
  if (!options.run.plan.device.empty() || !has_one_shape(options, table)) return std::nullopt;
  const auto ranks = static_cast<int>(options.ranks);
  try {
    const RunPlan plan =
        make_run_plan(options.run, ranks, store_vocabulary(options.run), {.names_remedy = false});
    return cached_profile(rank_at_hand(options.run.runtime, ranks), options.run, plan);
  } catch (const UsageError&) {  // the search says why; or there is no such device here
    return std::nullopt;
  }
}

// A search, and what it was made with.
struct Search {
  const DeviceFigures& figures;
  std::optional<MeasuredTimes> times;
  SearchResult result;
};

Search search(PlanOptions& options, const OptionTable& table) {
  if (options.ranks == 0) refuse("plan needs --ranks N: the number of ranks to plan for");
  const DeviceFigures& figures = choose_figures(options.run);
  const auto ranks = static_cast<int>(options.ranks);
  // Before the search, which takes longer. No layout has more stages than ranks.
  if (!options.straggler.empty()) {
    const bool is_set = table.was_set("parallel.pipeline");
    parse_stragglers(options.straggler,
                     is_set ? static_cast<int>(options.run.parallel.pipeline) : ranks);
  }
  if (options.run.plan.memory_gib == 0) {
    options.run.plan.memory_gib =
        memory_to_plan_for(figures, available_host_memory() / ranks - process_memory);
  }
  Search search{.figures = figures, .times = find_measured_times(options, table), .result = {}};
  search.result =
      search_layouts({.options = options.run,
                      .is_set = [&](const std::string& name) { return table.was_set(name); },
                      .ranks = ranks,
                      .store_vocab = store_vocabulary(options.run),
                      .figures = &figures,
                      .keep = static_cast<int>(options.show),
                      .times = search.times ? &*search.times : nullptr});
  return search;
}

// The same layout's step with slow ranks.
struct WhatIf {
  std::vector<double> factors;  // [stage]
  double step_seconds = 0;
};

std::optional<WhatIf> ask_what_if(const PlanOptions& options, const Search& search) {
  if (options.straggler.empty()) return std::nullopt;
  const RunPlan& plan = search.result.found.front().plan;
  const EstimatedTimes estimated(search.figures, plan.policy.context_full);
  const LayerTimes* const times = search.times ? &*search.times : nullptr;
  WhatIf what_if{.factors = parse_stragglers(options.straggler, plan.mesh.pipe)};
  what_if.step_seconds = straggling_step_seconds(
      plan, search.figures, times != nullptr ? *times : estimated, what_if.factors);
  return what_if;
}

void print_json(const FoundLayout& layout, const std::optional<WhatIf>& what_if) {
  nlohmann::json json = to_json(layout.options, layout.plan, layout.prediction);
  if (what_if) json["what_if_step_seconds"] = what_if->step_seconds;
  print_result("{}\n", json_line(json));
}

// A remark if the ranks would share cores here, which no figure knows; else "".
std::string describe_sharing(const PlanOptions& options, const Search& search) {
  const auto cores = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  const bool is_here = options.run.plan.device.empty() && search.figures.device == Device::cpu;
  if (!is_here || options.ranks <= cores) return "";
  return fmt::format("This host has {}; steps are predicted for hosts with a core for each rank.\n",
                     counted(cores, "core"));
}

// Where the times of layers are from.
std::string describe_costs(const Search& search) {
  if (!search.times) {
    return "by the cost model, from the figures in the program (nothing was measured)";
  }
  return fmt::format(
      "by times of layers that were measured here, from {}; all else by the cost model",
      profile_folder().string());
}

void print_text(const PlanOptions& options, const Search& search, const OptionTable& table,
                const std::optional<WhatIf>& what_if) {
  const FoundLayout& best = search.result.found.front();
  std::string words;
  const auto chosen = chosen_options(best.options, best.plan);
  for (const auto& [name, value] : chosen) words += fmt::format(" --{} {}", name, value);
  const std::vector<std::string> kept = table.kept_of(chosen);
  print_result(
      "Predicted for {} on {}, {}.\n{}Kept as set: {}.{}\n\n{}\n"
      "The fastest:{}\n\n{}{}",
      counted(best.plan.mesh.size(), "rank"), search.figures.name, describe_costs(search),
      describe_sharing(options, search),
      kept.empty() ? "nothing" : fmt::format("{}", fmt::join(kept, ", ")),
      kept.size() < chosen.size() ? " The rest of the layout was searched for." : "",
      describe(search.result), words, describe_stages(best.plan, best.prediction),
      what_if ? "\n" + describe_what_if(best.prediction, what_if->factors, what_if->step_seconds)
              : "");
}

}  // namespace

ExitCode plan_command(const Arguments& arguments) {
  PlanOptions options;
  OptionTable table = describe(options);
  if (asks_for_help(arguments)) {
    print_result(
        "{}\n\n"
        "It takes the options of train, so that the configuration file of a run will do.\n"
        "Those that say how the ranks share the work are kept if set, and else searched\n"
        "for.\n{}",
        usage_of("plan"), table.help());
    return ExitCode::done;
  }
  table.parse(arguments);
  const Search found = search(options, table);
  const FoundLayout& best = found.result.found.front();
  const std::optional<WhatIf> what_if = ask_what_if(options, found);
  if (options.json) {
    print_json(best, what_if);
  } else {
    print_text(options, found, table, what_if);
  }
  if (!options.timeline.empty()) {
    io::write_text_durably(options.timeline, draw_step(best));
    if (!options.json) print_notice("wrote {}\n", options.timeline);
  }
  return ExitCode::done;
}

}  // namespace masformer
