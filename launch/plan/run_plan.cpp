#include "launch/plan/run_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/context_choice.h"
#include "launch/plan/layout_remedy.h"
#include "launch/plan/partition_choice.h"
#include "launch/plan/plan_size.h"
#include "launch/plan/schedule_choice.h"
#include "model/cost/layer_times.h"
#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/counted.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// Runs `part`. If it refuses, adds `prefix` and its message to `violations`.
template <class Part>
void gather(std::vector<std::string>& violations, const std::string& prefix, Part part) {
  try {
    part();
  } catch (const UsageError& error) {
    violations.push_back(prefix + error.what());
  }
}

// The remedy for a number of ranks that does not fit: `model` ranks per replica, `data` replicas
// (0: any number).
std::string layout_remedy(std::int64_t model, std::int64_t data, int ranks) {
  if (data == 0) return fmt::format("start a multiple of {}", model);
  return fmt::format("start {}{}", model * data,
                     ranks % model == 0 ? ", leave parallel.data at 0" : "");
}

Mesh make_mesh(const Options& options, int ranks, std::vector<std::string>& violations) {
  const auto& p = options.parallel;
  const std::int64_t model = p.tensor * p.pipeline * p.context;
  std::int64_t data = p.data > 0 ? p.data : std::max<std::int64_t>(ranks / model, 1);
  if (model * data != ranks) {
    violations.push_back(fmt::format(
        "parallel.tensor={} x parallel.pipeline={} x parallel.context={}{} does not make {}: "
        "{}, or change the layout",
        p.tensor, p.pipeline, p.context,
        p.data > 0 ? fmt::format(" x parallel.data={}", p.data) : "", counted(ranks, "rank"),
        layout_remedy(model, p.data, ranks)));
    data = std::max<std::int64_t>(p.data, 1);  // further violations name what the user wrote
  }
  return {.pipe = static_cast<int>(p.pipeline),
          .data = static_cast<int>(data),
          .context = static_cast<int>(p.context),
          .tensor = static_cast<int>(p.tensor)};
}

// Returns the number of micro-batches per data rank and step.
std::int64_t count_micro_batches(const Options& options, const Mesh& mesh,
                                 std::vector<std::string>& violations) {
  const auto& t = options.train;
  const std::int64_t samples = t.micro_batch * mesh.data;
  if (t.global_batch % samples == 0) return t.global_batch / samples;
  violations.push_back(fmt::format(
      "train.global_batch={} is not a multiple of train.micro_batch={} x parallel.data={}: use "
      "train.global_batch={}, or change the others",
      t.global_batch, t.micro_batch, mesh.data, (t.global_batch / samples + 1) * samples));
  return 1;
}

void check_training(const Options& options, std::vector<std::string>& violations) {
  const auto& t = options.train;
  if (t.min_lr < 0 && t.min_lr != -1) {
    violations.push_back(fmt::format(
        "train.min_lr={} is not a learning rate: use 0 or more, or -1 for a tenth of train.lr",
        t.min_lr));
  }
  if (options.checkpoint.resume.empty()) {
    violations.emplace_back("checkpoint.resume is empty: use auto, none, or a checkpoint's path");
  }
  if (options.run.dir.empty()) violations.emplace_back("run.dir is empty: name a folder");
  if (t.min_lr > t.lr) {
    violations.push_back(
        fmt::format("train.min_lr={} is above train.lr={}: lower train.min_lr, or leave it out to "
                    "get a tenth of train.lr",
                    t.min_lr, t.lr));
  }
  if (t.dump_gradients_at > t.steps) {
    violations.push_back(
        fmt::format("train.dump_gradients_at={} is after the last step, train.steps={}: lower it",
                    t.dump_gradients_at, t.steps));
  }
  if (t.profile_step > t.steps) {
    violations.push_back(
        fmt::format("train.profile_step={} is after the last step, train.steps={}: lower it",
                    t.profile_step, t.steps));
  }
}

// Other kinds of positions would ignore the bases of rotary ones.
void check_rotary(const Options& options, std::vector<std::string>& violations) {
  const auto& m = options.model;
  const Options defaults;
  const bool changed = m.rotary_theta != defaults.model.rotary_theta ||
                       m.rotary_theta_window != defaults.model.rotary_theta_window;
  if (changed && m.positions_kind != PositionsKind::rotary) {
    violations.push_back(
        fmt::format("model.rotary_theta={} and model.rotary_theta_window={} do nothing with "
                    "model.positions_kind={}: choose rotary, or leave them out",
                    m.rotary_theta, m.rotary_theta_window, name_of(m.positions_kind)));
  }
  if (m.rotary_theta_window > 0 && m.rotary_theta_window < 1) {
    violations.push_back(
        fmt::format("model.rotary_theta_window={} is too small: use 0 for model.rotary_theta, or "
                    "at least 1",
                    m.rotary_theta_window));
  }
}

// Ranks on CPUs would ignore a transport of devices.
void check_transport(const RuntimeOptions& runtime, std::vector<std::string>& violations) {
  const Transport transport = runtime.transport.value_or(Transport::mpi);
  if (runtime.device != Device::cpu || transport == Transport::mpi) return;
  violations.push_back(fmt::format(
      "runtime.transport={} does not work with runtime.device={}: choose another device, or "
      "leave runtime.transport at auto",
      name_of(transport), name_of(runtime.device)));
}

OptimizerConfig make_optimizer(const Options& options) {
  const auto& t = options.train;
  return {.lr = t.lr,
          .min_lr = t.min_lr < 0 ? t.lr / 10 : t.min_lr,
          .warmup_steps = t.warmup_steps,
          .steps = t.steps,
          .beta1 = t.beta1,
          .beta2 = t.beta2,
          .epsilon = t.epsilon,
          .weight_decay = t.weight_decay,
          .clip = t.clip};
}

// The model that the options describe, with what is derived filled in. Adds to `violations` what
// can't be read.
ModelConfig make_model(const Options& options, std::int64_t store_vocab,
                       std::vector<std::string>& violations) {
  const auto& m = options.model;
  std::vector<Span> spans;
  if (!m.spans.empty()) {
    gather(violations, "model.spans: ", [&] { spans = parse_spans(m.spans); });
  }
  const std::int64_t named = spans.empty() ? 4 : std::ssize(spans);
  const std::int64_t layers = m.layers > 0 ? m.layers : named;
  // An unreadable list gives one message, not a second one about its length.
  if (spans.empty()) spans.assign(static_cast<std::size_t>(layers), Span{});
  if (std::ssize(spans) != layers) {
    violations.push_back(fmt::format(
        "model.spans={} names {} layers, model.layers={}: write one span per layer, as in full*{}",
        to_string(spans), spans.size(), layers, layers));
    spans.resize(static_cast<std::size_t>(layers));
  }
  AttentionSpec attention{.heads = m.heads};
  if (m.attention_scale == AttentionScale::inverse_root) {
    attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(m.hidden / m.heads)));
  }
  const GeluMlpSpec mlp{m.ffn > 0 ? m.ffn : 4 * m.hidden};
  std::optional<RotaryThetas> thetas;
  if (m.positions_kind == PositionsKind::rotary) {
    thetas = {m.rotary_theta, m.rotary_theta_window > 0 ? m.rotary_theta_window : m.rotary_theta};
  }
  return {.hidden = m.hidden,
          .vocab = m.vocab > 0 ? m.vocab : store_vocab,
          .positions = m.positions > 0 ? m.positions : options.train.sequence,
          .blocks = blocks_of_spans(spans, attention, mlp, {}, thetas),
          .tied = m.tied,
          .positions_kind = m.positions_kind};
}

// A table of learned positions limits the sequence. An evaluation can't change the table.
void check_sequence(const Options& options, const ModelConfig& model, Purpose purpose,
                    std::vector<std::string>& found) {
  if (model.positions_kind != PositionsKind::learned || options.train.sequence <= model.positions)
    return;
  found.push_back(fmt::format("train.sequence={} is longer than model.positions={}: {}",
                              options.train.sequence, model.positions,
                              purpose == Purpose::training
                                  ? "lower train.sequence or raise model.positions"
                                  : "lower train.sequence, since the checkpoint has no more "
                                    "learned positions"));
}

// Adds to `found` the reasons why the model can't be split over this mesh.
void plan_model(const Options& options, Purpose purpose, RunPlan& plan,
                std::vector<std::string>& found) {
  check_sequence(options, plan.model, purpose, found);
  std::ranges::move(violations(plan.model, plan.mesh), std::back_inserter(found));
  std::ranges::move(head_violations(plan.model, plan.mesh, plan.policy.context_full),
                    std::back_inserter(found));
  gather(found, "", [&] {
    const int chunks =
        chunks_of_schedule(options.parallel.schedule, static_cast<int>(options.parallel.chunks));
    plan.partition =
        make_partition(options.parallel.partition, plan.model.layers(), plan.mesh.pipe, chunks);
  });
  gather(found, "", [&] {
    plan.policy.recompute = parse_recompute(
        chooses_recompute(options) ? name_of(Recompute::none) : options.train.recompute,
        plan.model.layers());
  });
}

// The micro-batches and the global batch. An evaluation derives its batch from the layout: as many
// micro-batches as stages, which fills the pipeline.
void plan_batch(const Options& options, Purpose purpose, RunPlan& plan,
                std::vector<std::string>& found) {
  const bool trains = purpose == Purpose::training;
  const std::int64_t micro_batches =
      trains ? count_micro_batches(options, plan.mesh, found) : plan.mesh.pipe;
  std::ranges::move(size_violations(options, plan.model, purpose, micro_batches),
                    std::back_inserter(found));
  plan.micro_batches = static_cast<int>(micro_batches);
  plan.global_batch = trains ? options.train.global_batch
                             : options.train.micro_batch * plan.mesh.data * plan.micro_batches;
}

// `found`: violations that the caller has found already.
RunPlan decide(const Options& options, int ranks, ModelConfig model, Purpose purpose,
               std::vector<std::string> found, ShardingCache* shardings) {
  RunPlan plan;
  plan.model = std::move(model);
  plan.mesh = make_mesh(options, ranks, found);
  plan.policy.context_full = options.parallel.context_full.value_or(ContextFull::ring);
  plan_model(options, purpose, plan, found);
  plan_batch(options, purpose, plan, found);
  if (purpose == Purpose::training) {
    check_training(options, found);
    check_rotary(options, found);
  }
  check_transport(options.runtime, found);
  gather(found, "", [&] {
    require_divisible(options.parallel.context_order, options.train.sequence, plan.mesh.context);
  });
  if (found.empty()) {
    plan.training = first_schedule(options, plan.mesh.pipe, plan.micro_batches);
    plan.policy.sharding = choose_sharding(options, plan, {.shardings = shardings});
  }
  if (!found.empty()) refuse("{}", fmt::join(found, "\n"));

  plan.policy.shape = {options.train.micro_batch, options.train.sequence};
  plan.policy.dtype = options.train.dtype;
  plan.policy.device = options.runtime.device;
  plan.policy.ffn_block = purpose == Purpose::training ? options.train.ffn_block : 0;
  plan.policy.deterministic = options.runtime.deterministic;
  plan.policy.document_mask = options.data.document_mask;
  plan.policy.sequence_parallel = options.parallel.sequence_parallel;
  plan.optimizer = make_optimizer(options);
  plan.evaluation = forward_only(plan.training.placement, plan.micro_batches);
  validate(plan.training);
  validate(plan.evaluation);
  return plan;
}

}  // namespace

namespace {

// What the plans of one run for several schedules are compared by. An order that a checkpoint
// records comes first: it must not depend on what is free now.
bool is_better(const Options& options, const PlanInputs& inputs, const RunPlan& a,
               const RunPlan& b) {
  const bool kept_a = a.order_source == OrderSource::record;
  const bool kept_b = b.order_source == OrderSource::record;
  if (kept_a != kept_b) return kept_a;
  const bool fits_a = fits_machine(options, inputs, a), fits_b = fits_machine(options, inputs, b);
  if (fits_a != fits_b) return fits_a;
  return clearly_less(simulated_step(inputs, a), simulated_step(inputs, b));
}

// Finishes a plan as it would be under the schedule `base`. Returns what is short of memory.
std::string finish(const Options& options, const std::string& base, const PlanInputs& inputs,
                   RunPlan& plan) {
  Options based = options;
  based.parallel.schedule = base;
  plan.training = first_schedule(based, plan.mesh.pipe, plan.micro_batches);
  choose_exchange(based, inputs, plan);
  std::string shortage = choose_partition(based, inputs, plan);
  if (!shortage.empty()) return shortage;
  plan.policy.sharding = choose_sharding(options, plan, inputs);
  plan.kept_context = kept_context(options, inputs, plan);
  order_by_costs(options, inputs, memory_limit(options, inputs), plan);
  return "";
}

}  // namespace

RunPlan make_run_plan(const Options& options, int ranks, std::int64_t store_vocab,
                      const PlanInputs& inputs) {
  std::vector<std::string> found;
  ModelConfig model = make_model(options, store_vocab, found);
  RunPlan plan = decide(options, ranks, std::move(model), Purpose::training, std::move(found),
                        inputs.shardings);
  std::optional<RunPlan> best;
  std::string shortage;  // of the first schedule
  for (const std::string& base : base_schedules(options)) {
    RunPlan tried = plan;
    const std::string short_of = finish(options, base, inputs, tried);
    if (shortage.empty()) shortage = short_of;
    if (!short_of.empty() || (best && !is_better(options, inputs, tried, *best))) continue;
    best = std::move(tried);
  }
  if (best) return *std::move(best);
  refuse("{}{}", shortage,
         inputs.names_remedy ? nearest_layout(options, ranks, store_vocab, inputs) : "");
}

RunPlan make_evaluation_plan(const Options& options, int ranks, ModelConfig model) {
  return decide(options, ranks, std::move(model), Purpose::evaluation, {}, nullptr);
}

StageSpec RunPlan::describe_stage(const Coordinate& at) const {
  return StageSpec(model, mesh, at, partition, policy, training.placement);
}

StagePlan RunPlan::plan_stage(const StageSpec& stage, Purpose purpose) const {
  return masformer::plan_stage(stage, purpose, training, evaluation);
}

}  // namespace masformer
