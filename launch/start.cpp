#include "launch/start.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/collectively.h"
#include "launch/model_state.h"
#include "runtime/error.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

std::string text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The resolved model is compared, not the options that led to it.
void compare_models(const nlohmann::json& began, const nlohmann::json& now,
                    std::vector<std::string>& violations) {
  for (const auto& [key, value] : now.items()) {
    const nlohmann::json before = began.value(key, nlohmann::json());
    if (before == value) continue;
    violations.push_back(
        fmt::format("model.{}={}, but the run began with {}", key, text(value), text(before)));
  }
}

void compare_options(const nlohmann::json& began, const OptionTable& table,
                     std::vector<std::string>& violations) {
  for (const auto& [name, value] : table.record()) {
    if (name.starts_with("model.") || table.on_resume(name) == OnResume::may_change) continue;
    const std::string before = began.value(name, value);
    if (before == value) continue;
    violations.push_back(fmt::format("{}={}, but the run began with {}", name, value, before));
  }
}

// All that forbids going on from a checkpoint.
std::vector<std::string> forbidden_changes(const nlohmann::json& attributes, const Job& job,
                                           const OptionTable& table,
                                           const std::string& data_digest) {
  std::vector<std::string> violations;
  compare_models(attributes.value("model", nlohmann::json::object()), to_json(job.plan.model),
                 violations);
  compare_options(attributes.value("options", nlohmann::json::object()), table, violations);
  const std::string began = attributes.value("data_digest", data_digest);
  if (began != data_digest) {
    violations.push_back(
        fmt::format("data.path holds other tokens (digest {}) than the run began with ({})",
                    data_digest, began));
  }
  return violations;
}

void check_undamaged(Communicator& world, const fs::path& directory) {
  const Manifest manifest = collectively(world, [&] { return read_manifest(directory); });
  const auto damaged = damaged_files(world, directory, manifest);
  if (!damaged.empty()) {
    throw AgreedError(
        fmt::format("checkpoint {} is damaged:\n{}", directory.string(), fmt::join(damaged, "\n")));
  }
}

Start resume(Job& job, const OptionTable& table, const fs::path& directory,
             const std::string& data_digest) {
  return collectively(job.world(), [&] {
    CheckpointReader reader(directory);
    const nlohmann::json& attributes = reader.manifest().attributes;
    require_training(reader);
    const auto violations = forbidden_changes(attributes, job, table, data_digest);
    if (!violations.empty()) {
      refuse(
          "{} can't be resumed with these options; put them back, or start a new run with "
          "checkpoint.init in another run.dir:\n{}",
          directory.string(), fmt::join(violations, "\n"));
    }
    load_training(reader, job.stage.parameters());
    Start start;
    start.step = attributes.at("step");
    start.notes.push_back(fmt::format("resumes from {}, written by {}", directory.string(),
                                      attributes.value("mesh", "an unknown layout")));
    return start;
  });
}

// A head of its own is a weight like others: neither dropped nor made up in silence.
void check_head(const CheckpointReader& reader, const ModelConfig& model) {
  const bool tied =
      model_from_json(reader.manifest().attributes.value("model", nlohmann::json())).tied;
  if (tied == model.tied) return;
  refuse("{} holds a model with model.tied={}, and model.tied={} is asked for: give it the same",
         reader.directory().string(), tied, model.tied);
}

Start begin_from_weights(Job& job, const fs::path& directory) {
  check_undamaged(job.world(), directory);
  return collectively(job.world(), [&] {
    CheckpointReader reader(directory);
    require_training(reader);
    check_head(reader, job.plan.model);
    load_weights(reader, job.stage.parameters());
    return Start{.notes = {fmt::format("takes its weights from {}", directory.string())}};
  });
}

Start begin_anew(Job& job, const Options& options) {
  job.stage.parameters().initialise(job.stream, static_cast<std::uint64_t>(options.train.seed),
                                    options.model.init_deviation);
  return {};
}

// The checkpoint to resume from, if any; adds what newer ones were passed over.
std::optional<fs::path> choose_checkpoint(Job& job, const Options& options,
                                          std::vector<std::string>& notes) {
  const std::string& how = options.checkpoint.resume;
  if (how == "none") return std::nullopt;
  if (how != "auto") {
    check_undamaged(job.world(), how);
    return how;
  }
  const auto found = find_newest(job.world(), options.run.dir);
  if (!found) return std::nullopt;
  for (const std::string& skipped : found->skipped) {
    notes.push_back(fmt::format("passes over a damaged checkpoint: {}", skipped));
  }
  return found->directory;
}

}  // namespace

nlohmann::json checkpoint_attributes(const OptionTable& table, const Job& job, std::int64_t step,
                                     const std::string& data_digest) {
  const std::int64_t sequence = job.plan.micro_batch.sequence;
  return {{"kind", "training"},
          {"step", step},
          {"tokens", step * job.plan.global_batch * sequence},
          {"mesh", job.plan.mesh.to_string()},
          {"model", to_json(job.plan.model)},
          {"options", table.record()},
          {"data_digest", data_digest}};
}

Start start_run(Job& job, const Options& options, const OptionTable& table,
                const RunDirectory* directory, const std::string& data_digest) {
  std::vector<std::string> notes;
  const auto checkpoint = choose_checkpoint(job, options, notes);
  Start start = checkpoint ? resume(job, table, *checkpoint, data_digest)
                : !options.checkpoint.init.empty()
                    ? begin_from_weights(job, options.checkpoint.init)
                    : begin_anew(job, options);
  start.notes.insert(start.notes.begin(), notes.begin(), notes.end());
  on_first_rank(job.world(), [&] {
    // What stays beyond this step would be taken for newer than what this run is going to save.
    // Of a run that goes on from another one's checkpoint, nothing here is a part.
    const bool foreign =
        checkpoint && !fs::equivalent(checkpoint->parent_path(), directory->path() / "checkpoints");
    if (directory->set_aside_after(foreign ? 0 : start.step)) {
      start.notes.push_back(fmt::format("set aside what stood in {} beyond step {}",
                                        directory->path().string(), foreign ? 0 : start.step));
    }
  });
  return start;
}

}  // namespace masformer
