#include "launch/training/layer_profile.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "launch/training/device_choice.h"
#include "launch/training/memory_check.h"
#include "model/stage.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/op_timer.h"
#include "runtime/random.h"

namespace masformer {
namespace {

using Seconds = std::map<std::string, KindSeconds>;

// How often a step of that length is timed: medians of few vary by some per cent on CPUs.
int repeats_of(double step_seconds) {
  constexpr double budget = 2;
  constexpr int fewest = 3, most = 15;
  return static_cast<int>(std::clamp<double>(budget / step_seconds, fewest, most));
}

// The blocks that are timed: about as many as a stage has, evenly from the whole model, so that
// their weights and activations compete for caches as in training; and at least one of each kind.
std::vector<BlockSpec> timed_blocks(const RunPlan& plan) {
  const std::vector<BlockSpec>& all = plan.model.blocks;
  std::vector<BlockSpec> timed;
  for (std::size_t i = 0; i < all.size(); i += static_cast<std::size_t>(plan.mesh.pipe)) {
    timed.push_back(all[i]);
  }
  for (const BlockSpec& block : all) {
    if (std::ranges::find(timed, block) == timed.end()) timed.push_back(block);
  }
  return timed;
}

// The plan of the model that is timed.
RunPlan probe_of(const RunPlan& plan, Recompute policy) {
  RunPlan probe = plan;
  probe.mesh.data *= probe.mesh.pipe;
  probe.mesh.pipe = 1;
  probe.model.blocks = timed_blocks(plan);
  const int layers = probe.model.layers();
  probe.partition = {{0, layers}};
  probe.policy.recompute.assign(static_cast<std::size_t>(layers), policy);
  probe.micro_batches = 1;
  probe.training = one_forward_one_backward(1, 1);
  probe.evaluation = forward_only(probe.training.placement, 1);
  return probe;
}

// Random words at the positions that this rank holds.
void set_words(Stage& stage, const RunPlan& probe, const Coordinate& at) {
  const MicroBatchShape& shape = stage.spec().shape;
  std::vector<std::int32_t> words, positions;
  for (std::int64_t token = 0; token < shape.tokens(); ++token) {
    const std::int64_t position =
        stage.spec().sharding.position(at.context, token % shape.sequence);
    words.push_back(static_cast<std::int32_t>(mix(1, static_cast<std::uint64_t>(token)) %
                                              static_cast<std::uint64_t>(probe.model.vocab)));
    positions.push_back(static_cast<std::int32_t>(position));
  }
  const std::vector<std::int32_t> first_keys(words.size());  // one document
  MicroBatchSource source{words.data(), words.data(), positions.data()};
  if (probe.policy.document_mask) {
    source.first_keys = first_keys.data();
    source.document_starts.assign(static_cast<std::size_t>(shape.samples), {0});
  }
  stage.set_micro_batch(0, source);
}

// Sums the calls of one step by kind and pass. Waits for data ranks do not count: they belong to no
// layer. Nor does what passes between calls: that includes the sums over data ranks, which a run of
// several stages may not have.
Seconds sum_of(const std::vector<TimedCall>& calls) {
  Seconds sum;
  for (const TimedCall& call : calls) {
    const bool counts =
        call.kind == CallKind::op || call.name == "tensor ranks" || call.name == "context ranks";
    if (counts && !call.site.layer.empty()) sum[call.site.layer][call.site.pass] += call.seconds;
  }
  return sum;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Runs the steps on this rank and returns the medians, per layer of a kind.
Seconds time_steps(Stream& stream, const ProcessGroups& groups, const RunPlan& probe,
                   Stage& stage) {
  stage.parameters().initialise(stream, 1, 0.02);
  stage.sync().start_all_gathers();
  set_words(stage, probe, groups.at);
  std::map<std::string, std::map<std::string, std::vector<double>>> all;
  for (int step = 0, repeats = 1; step <= repeats; ++step) {
    groups.world->barrier();
    stage.begin_training(probe.policy.shape.tokens() * probe.mesh.data);
    OpTimer timer(stream);
    execute(stream, probe.training, *groups.pipe, stage);
    timer.finish();
    stage.sync().finish_reduction();
    if (step == 0) continue;  // chooses kernels
    if (step == 1) {          // all ranks repeat as often
      repeats = repeats_of(sum_over(*groups.world, timer.seconds()) / groups.world->size());
    }
    for (const auto& [kind, passes] : sum_of(timer.calls())) {
      for (const auto& [pass, seconds] : passes) all[kind][pass].push_back(seconds);
    }
  }
  std::map<std::string, int> layers;
  for (const auto& layer : stage.spec().layers) ++layers[layer->kind()];
  Seconds medians;
  for (const auto& [kind, passes] : all) {
    for (const auto& [pass, seconds] : passes) medians[kind][pass] = median(seconds) / layers[kind];
  }
  return medians;
}

Seconds time_policy(const MpiSession& session, const Options& options, const RunPlan& plan,
                    Recompute policy) {
  const RunPlan probe = probe_of(plan, policy);
  Stream stream = open_stream(session, options.runtime, probe.policy.dtype);
  const ProcessGroups groups = open_groups(session, probe, stream, options.runtime);
  StageSpec spec = probe.describe_stage(groups.at);
  StagePlan stage_plan = probe.plan_stage(spec, Purpose::training);
  check_memory(probe, stream, groups, spec, stage_plan);
  Stage stage = run_collectively(
      *groups.world, [&] { return Stage(std::move(spec), std::move(stage_plan), stream, groups); });
  const AbortOnFailure abort_on_failure(stream);
  Seconds seconds = time_steps(stream, groups, probe, stage);
  stage.sync().drain();
  stream.synchronize();
  groups.world->barrier();
  return seconds;
}

// The mean over all ranks, the same on each.
Seconds mean_over(Communicator& world, const Seconds& own) {
  Seconds mean;
  for (const nlohmann::json& rank : all_gather_json(world, own)) {
    for (const auto& [kind, passes] : rank.get<Seconds>()) {
      for (const auto& [pass, seconds] : passes) mean[kind][pass] += seconds / world.size();
    }
  }
  return mean;
}

Seconds measure(const MpiSession& session, const Options& options, const RunPlan& plan) {
  Seconds result;
  for (const Recompute policy : {Recompute::selective, Recompute::block}) {
    for (auto& [kind, passes] : time_policy(session, options, plan, policy)) {
      for (auto& [pass, seconds] : passes) {
        const bool again = pass == name_of(Pass::recompute);
        // What both have is the same work.
        result[kind].try_emplace(again ? recompute_name(policy) : pass, seconds);
      }
    }
  }
  return mean_over(*session.world(), result);
}

ProfiledRank profiled_rank(const MpiSession& session, const Options& options, DType dtype) {
  const Stream stream = open_stream(session, options.runtime, dtype);
  return profiled_rank(stream, session.ranks_on_this_host());
}

std::string profile_key(const ProfiledRank& rank, const Options& options, const RunPlan& plan) {
  return profile_key(rank, options.runtime, probe_of(plan, Recompute::none));
}

}  // namespace

MeasuredTimes profile_layers(const MpiSession& session, const Options& options, const RunPlan& plan,
                             const std::function<void(const std::string&)>& log) {
  const auto world = session.world();
  const std::string key =
      profile_key(profiled_rank(session, options, plan.policy.dtype), options, plan);
  const bool first = world->rank() == 0;
  const nlohmann::json cached =
      all_gather_json(*world, first ? read_profile(key) : nlohmann::json())[0];
  if (cached.is_object()) {
    log(fmt::format("takes the times of layers from {}", profile_file(key).string()));
    return MeasuredTimes(cached.get<Seconds>());
  }
  const Seconds seconds = measure(session, options, plan);
  if (first) write_profile(key, seconds);
  log("timed each kind of layer");
  return MeasuredTimes(seconds);
}

std::optional<MeasuredTimes> cached_profile(const ProfiledRank& rank, const Options& options,
                                            const RunPlan& plan) {
  const nlohmann::json cached = read_profile(profile_key(rank, options, plan));
  if (!cached.is_object()) return std::nullopt;
  return MeasuredTimes(cached.get<Seconds>());
}

}  // namespace masformer
