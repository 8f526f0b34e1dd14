#include "launch/training/plan_agreement.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "launch/plan/host_memory.h"
#include "launch/training/device_choice.h"
#include "launch/training/memory_check.h"
#include "launch/training/same_values.h"
#include "model/state/config_json.h"
#include "parallel/checkpoint/directory.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "parallel/pipeline/action_text.h"
#include "parallel/pipeline/partition.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/replace_file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// The attributes of the checkpoint that a run will most likely resume from; null if there is none.
// Its files are verified later: if it turns out to be damaged, an older one of the same run counts,
// which was divided in the same way.
nlohmann::json recorded_attributes(const Options& options) {
  const auto word = find_enum<ResumeWord>(options.checkpoint.resume);
  if (word == ResumeWord::never) return nullptr;
  std::vector<fs::path> candidates;
  if (word) {
    for (const auto& [step, path] : list_checkpoints(options.run.dir)) candidates.push_back(path);
    std::ranges::reverse(candidates);
  } else {
    candidates = {options.checkpoint.resume};
  }
  for (const fs::path& path : candidates) {
    try {
      return read_manifest(path).attributes;
    } catch (const Error&) {  // whoever loads it reports it
    }
  }
  return nullptr;
}

}  // namespace

std::optional<RecordedLayout> recorded_layout(const nlohmann::json& attributes) {
  if (!attributes.is_object() || !attributes.contains("mesh")) return std::nullopt;
  const auto options = attributes.value("options", std::map<std::string, std::string>());
  const auto option = [&](const char* name, const char* otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? std::string(otherwise) : found->second;
  };
  RecordedLayout recorded{
      .mesh = attributes.at("mesh"),
      .context_order = attributes.value("context_order", ""),
      .context_full = attributes.value("context_full", option("parallel.context_full", "ring")),
      .actions = attributes.value("actions", std::vector<std::string>()),
      .options = options};
  if (attributes.contains("partition")) {
    recorded.counts = attributes.at("partition").get<std::vector<int>>();
    return recorded;
  }
  const int layers = attributes.at("model").at("layers");
  const int stages = std::stoi(option("parallel.pipeline", "1"));
  for (const LayerRange& range :
       make_partition(option("parallel.partition", "even"), layers, stages)) {
    recorded.counts.push_back(range.size());
  }
  return recorded;
}

namespace {

nlohmann::json to_json(const std::optional<RecordedLayout>& recorded) {
  if (!recorded) return nullptr;
  return {recorded->mesh,         recorded->counts,  recorded->context_order,
          recorded->context_full, recorded->actions, recorded->options};
}

// What can't be read is left to whoever loads the checkpoint.
nlohmann::json read_recorded(const Options& options) {
  try {
    return to_json(recorded_layout(recorded_attributes(options)));
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace

PlanInputs agree_on_plan_inputs(Communicator& world, const Options& options) {
  const bool first = world.rank() == 0;
  const auto all = all_gather_json(
      world, {host_name(), available_host_memory(), first ? read_recorded(options) : nullptr});
  std::map<std::string, std::int64_t> available, ranks;
  for (const nlohmann::json& rank : all) {
    const std::string host = rank[0];
    const std::int64_t bytes = rank[1];
    const auto [known, is_new] = available.try_emplace(host, bytes);
    if (!is_new) known->second = std::min(known->second, bytes);
    ++ranks[host];
  }
  PlanInputs inputs;
  if (options.runtime.device == Device::cpu) {
    for (const auto& [host, bytes] : available) {
      const std::int64_t share = bytes / ranks[host] - process_memory;
      inputs.rank_memory = std::min(inputs.rank_memory, std::max<std::int64_t>(share, 0));
    }
    if (available.size() == 1) inputs.host_memory = inputs.rank_memory * world.size();
  }
  if (const nlohmann::json& recorded = all[0][2]; recorded.is_array()) {
    inputs.recorded = RecordedLayout{recorded[0], recorded[1], recorded[2],
                                     recorded[3], recorded[4], recorded[5]};
  }
  return inputs;
}

void require_same_store(Communicator& world, const TokenStore& store) {
  require_same_values(world,
                      {{"tokens", std::to_string(store.tokens())},
                       {"vocabulary", std::to_string(store.vocabulary())},
                       {"documents", std::to_string(store.documents().size())}},
                      "data.path leads to other token stores: give all ranks the same one");
}

void require_same_checkpoint(Communicator& world, const Manifest& manifest) {
  require_same_values(world,
                      {{"step", json_words(manifest.attributes.value("step", nlohmann::json()))},
                       {"digest", io::digest_of(checkpoint::to_text(manifest))}},
                      "the ranks read different checkpoints: give all the same one");
}

void require_shared_folder(Communicator& world, const std::filesystem::path& folder) {
  // A killed start may have left a file behind, but of another name.
  const std::string name = all_gather_json(world, fmt::format(".is-shared-{}", getpid()))[0];
  const fs::path seen = folder / name;
  std::error_code unseen;
  on_first_rank(world, [&] { io::replace_text(seen, "by all ranks\n"); });
  const auto sees = all_gather_json(world, fs::exists(seen, unseen));
  on_first_rank(world, [&] { fs::remove(seen); });
  run_collectively(world, [&] {
    if (sees[static_cast<std::size_t>(world.rank())] == true) return;
    refuse(
        "run.dir={} on host {} is not the folder that rank 0 writes to: put it on a file system "
        "that all hosts share",
        folder.string(), host_name());
  });
}

void require_same_plan(Communicator& world, const RunPlan& plan) {
  std::vector<std::string_view> recompute;
  for (const Recompute each : plan.policy.recompute) recompute.push_back(name_of(each));
  NamedValues values{{"model", json_line(to_json(plan.model))},
                     {"exchange of full layers", std::string(name_of(plan.policy.context_full))},
                     {"partition", fmt::format("{}", fmt::join(counts_of(plan.partition), ","))},
                     {"recomputation", fmt::format("{}", fmt::join(recompute, ","))},
                     {"order of tokens", plan.policy.sharding->to_string()}};
  for (const auto& [name, schedule] :
       {std::pair("training", &plan.training), {"evaluation", &plan.evaluation}}) {
    for (int stage = 0; stage < schedule->stages(); ++stage) {
      values.emplace_back(fmt::format("order of {} on stage {}", name, stage),
                          action_text(schedule->actions[static_cast<std::size_t>(stage)]));
    }
  }
  require_same_values(
      world, values,
      "the ranks make different plans; start the same build on hosts of one kind, "
      "or set what the plan is to choose (parallel.partition, parallel.schedule and "
      "the like)");
}

}  // namespace masformer
