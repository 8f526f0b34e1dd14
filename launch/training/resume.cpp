#include "launch/training/resume.h"

#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/schedule_choice.h"
#include "launch/training/plan_agreement.h"
#include "model/state/config_json.h"
#include "model/state/model_state.h"
#include "parallel/checkpoint/directory.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// Compares the resolved models, not the options that led to them. The checkpoint's model is read
// into a ModelConfig first, so that a number is compared in the model's own dtype (1e-5 is one fp32
// number, however it is printed), and a key that an older checkpoint lacks gets its default.
std::vector<std::string> model_changes(const CheckpointReader& checkpoint, const Job& job,
                                       const std::set<std::string>& free = {}) {
  std::vector<std::string> changes;
  const auto& attributes = checkpoint.manifest().attributes;
  const nlohmann::json before =
      to_json(model_from_json(attributes.value("model", nlohmann::json::object())));
  const nlohmann::json now = to_json(job.plan.model);
  for (const auto& [key, value] : now.items()) {
    const nlohmann::json& old = before.at(key);
    if (old == value || free.count(key) > 0) continue;
    changes.push_back(
        fmt::format("model.{}={}, but it was {}", key, json_words(value), json_words(old)));
  }
  return changes;
}

void compare_options(const nlohmann::json& recorded, const OptionTable& table,
                     std::vector<std::string>& violations) {
  for (const auto& [name, value] : table.record()) {
    if (name.starts_with("model.") || table.on_resume(name) == OnResume::may_change) continue;
    // A checkpoint of a version without the option was trained with what is its default now.
    const std::string before = recorded.value(name, table.default_value(name));
    if (before == value) continue;
    violations.push_back(fmt::format("{}={}, but it was {}", name, value, before));
  }
}

// One message for each difference that forbids resuming from a checkpoint.
std::vector<std::string> forbidden_changes(const CheckpointReader& checkpoint, const Job& job,
                                           const OptionTable& table,
                                           const std::string& data_digest) {
  std::vector<std::string> violations = model_changes(checkpoint, job);
  const nlohmann::json& attributes = checkpoint.manifest().attributes;
  compare_options(attributes.value("options", nlohmann::json::object()), table, violations);
  const std::string recorded = attributes.value("data_digest", data_digest);
  if (recorded != data_digest) {
    violations.push_back(fmt::format(
        "data.path holds other tokens: their digest is {}, but it was {}", data_digest, recorded));
  }
  return violations;
}

CheckpointReader open_undamaged(Communicator& world, const fs::path& directory) {
  CheckpointReader reader = run_collectively(world, [&] { return CheckpointReader(directory); });
  require_undamaged(world, directory, reader.manifest());
  return reader;
}

// The train.* options whose values differ from the checkpoint's. This is allowed; they are only
// reported.
std::vector<std::string> training_changes(const nlohmann::json& attributes,
                                          const OptionTable& table) {
  const auto before = attributes.value("options", std::map<std::string, std::string>());
  std::vector<std::string> changes;
  for (const auto& [name, value] : table.record()) {
    const auto found = before.find(name);
    if (!name.starts_with("train.") || found == before.end() || found->second == value) continue;
    changes.push_back(fmt::format("{}={} (it was {})", name, value, found->second));
  }
  return changes;
}

ResumeState resume(Job& job, const OptionTable& table, const fs::path& directory,
                   const std::string& data_digest) {
  CheckpointReader reader =
      run_collectively(job.world(), [&] { return CheckpointReader(directory); });
  require_same_checkpoint(job.world(), reader.manifest());
  return run_collectively(job.world(), [&] {
    const nlohmann::json& attributes = reader.manifest().attributes;
    require_training(reader);
    const auto violations = forbidden_changes(reader, job, table, data_digest);
    if (!violations.empty()) {
      refuse(
          "{} can't be resumed with these options; put them back, or start a new run with "
          "checkpoint.init in another run.dir:\n{}",
          directory.string(), fmt::join(violations, "\n"));
    }
    load_training(job.stream, reader, job.stage.parameters());
    ResumeState start;
    start.step = attributes.at("step");
    start.notes.push_back(fmt::format("resumes from {}, written by {}", directory.string(),
                                      attributes.value("mesh", "an unknown layout")));
    const auto changes = training_changes(attributes, table);
    if (!changes.empty())
      start.notes.push_back(fmt::format("continues with {}", fmt::join(changes, ", ")));
    return start;
  });
}

// Spans, positions and rotary angles may change; load_weights() says what happens then.
void check_same_model(const CheckpointReader& checkpoint, const Job& job) {
  const auto changes =
      model_changes(checkpoint, job, {"spans", "positions", "rotary_theta", "rotary_theta_window"});
  if (changes.empty()) return;
  refuse(
      "checkpoint.init={} holds another model; only spans, positions and rotary thetas may "
      "change:\n{}",
      checkpoint.directory().string(), fmt::join(changes, "\n"));
}

ResumeState start_from_weights(Job& job, const fs::path& directory) {
  CheckpointReader reader = open_undamaged(job.world(), directory);
  require_same_checkpoint(job.world(), reader.manifest());
  return run_collectively(job.world(), [&] {
    require_training(reader);
    check_same_model(reader, job);
    load_weights(job.stream, reader, job.stage.parameters());
    return ResumeState{.notes = {fmt::format("starts from the weights of {}", directory.string())}};
  });
}

ResumeState start_new(Job& job, const Options& options) {
  job.stage.parameters().initialise(job.stream, static_cast<std::uint64_t>(options.train.seed),
                                    options.model.init_deviation);
  return {};
}

// Returns the checkpoint to resume from, if any. Adds a note for each newer one that is damaged.
std::optional<fs::path> choose_checkpoint(Job& job, const Options& options,
                                          std::vector<std::string>& notes) {
  const auto word = find_enum<ResumeWord>(options.checkpoint.resume);
  if (!word) {
    open_undamaged(job.world(), options.checkpoint.resume);
    return options.checkpoint.resume;
  }
  if (*word == ResumeWord::never) return std::nullopt;
  const auto found = find_newest(job.world(), options.run.dir);
  if (!found) return std::nullopt;
  for (const std::string& skipped : found->skipped) {
    notes.push_back(fmt::format("skips a damaged checkpoint: {}", skipped));
  }
  return found->directory;
}

}  // namespace

nlohmann::json checkpoint_attributes(const OptionTable& table, const Job& job, std::int64_t step,
                                     const std::string& data_digest) {
  const std::int64_t sequence = job.plan.policy.shape.sequence;
  return {{"kind", "training"},
          {"step", step},
          {"tokens", step * job.plan.global_batch * sequence},
          {"mesh", job.plan.mesh.to_string()},
          {"partition", counts_of(job.plan.partition)},
          {"context_order", job.plan.policy.sharding->to_string()},
          {"context_full", name_of(job.plan.policy.context_full)},
          {"actions", recorded_order(job.plan)},
          {"model", to_json(job.plan.model)},
          {"options", table.record()},
          {"data_digest", data_digest}};
}

namespace {

// Leftovers of a killed run occupy disk space that this run needs.
void remove_leftovers_of(const fs::path& run_dir, std::vector<std::string>& notes,
                         std::vector<std::string>& warnings) {
  for (const char* const folder : {"checkpoints", "gradients"}) {
    try {
      for (const std::string& name : remove_leftovers(run_dir / folder)) {
        notes.push_back(fmt::format("removed {}, left by an interrupted save or removal",
                                    (run_dir / folder / name).string()));
      }
    } catch (const io::SystemError& error) {
      warnings.emplace_back(error.what());
    }
  }
}

// A checkpoint beyond `start.step` would later be mistaken for the newest one, so it is set aside.
// If the run resumes from another run's checkpoint, or from one that was set aside, everything in
// its own folder is set aside, because the metrics there lead to another state.
void set_aside(const RunDirectory& directory, const std::optional<fs::path>& checkpoint,
               ResumeState& start) {
  std::error_code missing;
  const bool foreign =
      checkpoint &&
      !fs::equivalent(*checkpoint, checkpoint_path(directory.path(), start.step), missing);
  const std::int64_t kept = foreign ? 0 : start.step;
  const std::string aside = directory.set_aside_after(kept);
  if (aside.empty()) return;
  start.notes.push_back(fmt::format("set aside what {} holds beyond step {}, as {}-*",
                                    directory.path().string(), kept, aside));
}

}  // namespace

ResumeState start_run(Job& job, const Options& options, const OptionTable& table,
                      const RunDirectory* directory, const std::string& data_digest) {
  std::vector<std::string> notes, warnings;
  on_first_rank(job.world(), [&] { remove_leftovers_of(directory->path(), notes, warnings); });
  const auto checkpoint = choose_checkpoint(job, options, notes);
  ResumeState start = checkpoint ? resume(job, table, *checkpoint, data_digest)
                      : !options.checkpoint.init.empty()
                          ? start_from_weights(job, options.checkpoint.init)
                          : start_new(job, options);
  if (checkpoint && !options.checkpoint.init.empty()) {
    notes.push_back(
        fmt::format("checkpoint.init={} is not used: there is a checkpoint to resume from",
                    options.checkpoint.init));
  }
  start.notes.insert(start.notes.begin(), notes.begin(), notes.end());
  start.warnings = std::move(warnings);
  on_first_rank(job.world(), [&] { set_aside(*directory, checkpoint, start); });
  return start;
}

}  // namespace masformer
