// masformer train
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/mpi_main.h"
#include "launch/output/standard_streams.h"
#include "launch/plan/layout_search.h"
#include "launch/plan/prediction_text.h"
#include "launch/training/device_choice.h"
#include "launch/training/layer_profile.h"
#include "launch/training/plan_agreement.h"
#include "launch/training/resume.h"
#include "launch/training/run_events.h"
#include "launch/training/run_output.h"
#include "launch/training/run_recorder.h"
#include "launch/training/same_values.h"
#include "launch/training/signals.h"
#include "launch/training/start_page.h"
#include "launch/training/start_progress.h"
#include "launch/training/trainer.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/io/replace_file.h"
#include "runtime/repeated_list.h"

namespace masformer {
namespace {

TokenStore open_store(const Options& options) {
  if (options.data.path.empty()) {
    refuse("data.path is not set: name a token store, from masformer prepare");
  }
  return TokenStore(options.data.path);
}

// Each rank makes the plan for itself.
RunPlan decide(Communicator& world, const Options& options, const TokenStore& store,
               const PlanInputs& inputs) {
  RunPlan plan = run_collectively(world, [&] {
    RunPlan own = make_run_plan(options, world.size(), store.vocabulary(), inputs);
    if (store.largest_id() >= own.model.vocab) {
      refuse("{} holds token {}, beyond model.vocab={}: raise model.vocab to {}", options.data.path,
             store.largest_id(), own.model.vocab,
             static_cast<std::uint64_t>(store.largest_id()) + 1);
    }
    return own;
  });
  require_same_plan(world, plan);
  return plan;
}

void print_start_page(Job& job, const StartFacts& facts) {
  const std::string page = start_page(job, facts);
  on_first_rank(job.world(), [&] { write_notice(page); });
}

// Notes each option that names a step before the first one of this start, because it has no effect.
void note_past_steps(const Options& options, std::int64_t done, RunOutput& output) {
  const auto note_past = [&](const char* option, std::int64_t step) {
    if (step == 0 || step > done) return;
    output.note(
        fmt::format("{}={} has no effect: this run starts after step {}", option, step, done));
  };
  note_past("train.dump_gradients_at", options.train.dump_gradients_at);
  note_past("train.profile_step", options.train.profile_step);
}

using LayoutOptions = std::map<std::string, std::string>;

// The options that --plan chooses. Partition and recomputation are solved again, from the layout.
constexpr std::array axis_options{"parallel.tensor", "parallel.pipeline", "parallel.context",
                                  "parallel.data"};
constexpr std::array other_options{"parallel.schedule", "parallel.chunks", "parallel.context_full",
                                   "train.micro_batch"};

// The layout in the checkpoint to resume from; nothing if it had another number of ranks.
LayoutOptions recorded_options(const PlanInputs& inputs, int ranks) {
  LayoutOptions layout;
  std::int64_t product = 1;
  const auto add = [&](const char* name) {
    const auto found = inputs.recorded->options.find(name);
    if (found == inputs.recorded->options.end()) return;
    layout[name] = found->second;
  };
  if (!inputs.recorded) return {};
  for (const char* const name : other_options) add(name);
  for (const char* const name : axis_options) {
    add(name);
    if (!layout.contains(name)) return {};
    product *= parse_count(layout[name]).value_or(0);  // parallel.data is 0 if it was left out
  }
  return product == ranks ? layout : LayoutOptions{};
}

LayoutOptions search_layout(const Options& options, const OptionTable& table,
                            const TokenStore& store, int ranks, const PlanInputs& inputs) {
  Options own = options;
  const DeviceFigures& figures = choose_figures(own);
  if (figures.device != options.runtime.device) {
    refuse("plan.device={} is not what runs: with --plan, leave it out, or choose one of {}",
           options.plan.device, name_of(options.runtime.device));
  }
  if (own.plan.memory_gib == 0) {
    own.plan.memory_gib = memory_to_plan_for(figures, inputs.rank_memory);
  }
  const SearchResult result =
      search_layouts({.options = own,
                      .is_set = [&](const std::string& name) { return table.was_set(name); },
                      .ranks = ranks,
                      .store_vocab = store.vocabulary(),
                      .figures = &figures,
                      .keep = 1});
  const FoundLayout& best = result.found.front();
  LayoutOptions layout;
  for (const auto& [name, value] : chosen_options(best.options, best.plan)) layout[name] = value;
  layout.erase("parallel.partition");
  layout.erase("train.recompute");
  return layout;
}

// Sets the options of the layout that the user left open: to those of the checkpoint to resume from
// if it had as many ranks, else to those that `masformer plan` finds. The first rank decides.
// Returns where they are from, for the start page.
std::string choose_layout(Communicator& world, const Options& options, OptionTable& table,
                          const TokenStore& store, const PlanInputs& inputs) {
  LayoutOptions layout;
  std::string origin = "the layout is that of the checkpoint";
  run_collectively(world, [&] {
    if (world.rank() > 0) return;
    layout = recorded_options(inputs, world.size());
    if (!layout.empty()) return;
    layout = search_layout(options, table, store, world.size(), inputs);
    origin = "the layout is the fastest that masformer plan finds";
  });
  const std::vector<std::string> kept = table.kept_of(layout);
  if (!kept.empty()) origin += fmt::format("; kept as set: {}", fmt::join(kept, ", "));
  table.apply_record(all_gather_json(world, layout)[0].get<LayoutOptions>());
  const auto record = table.record();
  require_same_values(world, {record.begin(), record.end()}, "give all ranks the same value");
  return origin;
}

// RUN_DIR/plan.json: what the run follows, and what its steps are expected to take. Returns the
// memory of each stage in it on rank 0, elsewhere null. `measured`: times of layers; null:
// estimated ones.
nlohmann::json write_plan(Job& job, const Options& options, const LayerTimes* measured) {
  nlohmann::json memory;
  on_first_rank(job.world(), [&] {
    Options own = options;
    const DeviceFigures& figures = choose_figures(own);
    const EstimatedTimes estimated(figures, job.plan.policy.context_full);
    const Prediction prediction =
        predict(job.plan, figures, measured != nullptr ? *measured : estimated);
    nlohmann::json json = to_json(options, job.plan, prediction);
    memory = json.at("memory_bytes");
    json["actions"] = actions_json(job.plan, prediction);
    io::replace_text(std::filesystem::path(options.run.dir) / "plan.json", json_line(json) + "\n");
  });
  return memory;
}

struct TrainOptions {
  Options run;
  bool plan = false;  // whether to search for the layout
};

// `preparing` ends when training begins.
ExitCode train(const MpiSession& session, const TrainOptions& all, OptionTable& table,
               std::optional<StopBeforeFirstStep>& preparing) {
  const Options& options = all.run;
  const auto world = session.world();
  StartProgress progress([first = world->rank() == 0](const std::string& line) {
    if (first) write_notice(line + "\n");
  });
  require_same_values(*world, {{"--plan", all.plan ? "given" : "left out"}},
                      "give it to all ranks or to none");
  progress.enter("opening the token store");
  const TokenStore store = run_collectively(*world, [&] { return open_store(options); });
  require_same_store(*world, store);
  progress.enter("planning the run and allocating its memory");
  PlanInputs inputs = agree_on_plan_inputs(*world, options);
  const std::string layout_origin =
      all.plan ? choose_layout(*world, options, table, store, inputs) : "";
  RunPlan plan = decide(*world, options, store, inputs);
  std::optional<MeasuredTimes> times;
  if (options.plan.profile) {
    progress.enter("timing each kind of layer");
    times = profile_layers(session, options, plan, [&](const std::string& line) {
      if (world->rank() == 0) write_notice(line + "\n");
    });
    inputs.times = &*times;
    plan = decide(*world, options, store, inputs);
    progress.enter("planning the run and allocating its memory");
  }
  RunRecorder recorder(world->rank(), plan.mesh, options.run.dir);
  Job job(session, std::move(plan), Purpose::training, options.runtime, recorder.get());
  progress.enter("reading the token store");
  const TrainingData data(job, options, store);
  RunOutput output(job.world(), options);
  require_shared_folder(job.world(), options.run.dir);
  print_start_page(job, {options, data, session.ranks_on_this_host(), layout_origin});
  progress.enter("loading or initialising the weights");
  const ResumeState state = start_run(job, options, table, output.directory(), data.digest());
  recorder.align_clocks(job.world(), host_name());
  recorder.keep();
  const nlohmann::json planned_memory = write_plan(job, options, inputs.times);
  output.start_after(state.step, start_fields(job, options, table, {state.step, all.plan}), table);
  for (const std::string& note : state.notes) output.note(note);
  for (const std::string& warning : state.warnings) output.warn(warning);
  note_past_steps(options, state.step, output);
  progress.finish();
  Trainer trainer({job, data, output, options, table, planned_memory}, state.step);
  preparing.reset();
  return trainer.run();
}

}  // namespace

ExitCode train_command(const Arguments& arguments) {
  hold_stop_signals();  // before MPI starts its threads
  std::optional<StopBeforeFirstStep> preparing(std::in_place);
  TrainOptions options;
  OptionTable table = describe(options.run);
  table.add_flag("plan", options.plan,
                 "Choose the layout as masformer plan would for these ranks. Options of the layout "
                 "that are set are kept.");
  return run_on_ranks(arguments,
                      {.name = "train", .options = table, .run = [&](const MpiSession& session) {
                         return train(session, options, table, preparing);
                       }});
}

}  // namespace masformer
