#include "launch/plan/run_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/cost.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// Runs `part` and keeps what it refuses, behind `prefix`.
template <class Part>
void gather(std::vector<std::string>& violations, const std::string& prefix, Part part) {
  try {
    part();
  } catch (const UsageError& error) {
    violations.push_back(prefix + error.what());
  }
}

Mesh make_mesh(const Options& options, int ranks, std::vector<std::string>& violations) {
  const auto& p = options.parallel;
  const std::int64_t model = p.tensor * p.pipeline * p.context;
  std::int64_t data = p.data > 0 ? p.data : std::max<std::int64_t>(ranks / model, 1);
  if (model * data != ranks) {
    violations.push_back(fmt::format(
        "parallel.tensor={} x parallel.pipeline={} x parallel.context={}{} does not make {} ranks: "
        "start a multiple of {}, or change the layout",
        p.tensor, p.pipeline, p.context,
        p.data > 0 ? fmt::format(" x parallel.data={}", p.data) : "", ranks,
        p.data > 0 ? model * data : model));
    data = std::max<std::int64_t>(p.data, 1);  // what else is wrong is said of what was written
  }
  return {.pipe = static_cast<int>(p.pipeline),
          .data = static_cast<int>(data),
          .context = static_cast<int>(p.context),
          .tensor = static_cast<int>(p.tensor)};
}

int count_micro_batches(const Options& options, const Mesh& mesh,
                        std::vector<std::string>& violations) {
  const auto& t = options.train;
  if (t.global_batch % (t.micro_batch * mesh.data) == 0) {
    return static_cast<int>(t.global_batch / (t.micro_batch * mesh.data));
  }
  violations.push_back(fmt::format(
      "train.global_batch={} is not a multiple of train.micro_batch={} x parallel.data={}: take "
      "train.global_batch={}, or change the others",
      t.global_batch, t.micro_batch, mesh.data,
      (t.global_batch / (t.micro_batch * mesh.data) + 1) * t.micro_batch * mesh.data));
  return 1;
}

void check_training(const Options& options, std::vector<std::string>& violations) {
  const auto& t = options.train;
  if (t.min_lr < 0 && t.min_lr != -1) {
    violations.push_back(fmt::format(
        "train.min_lr={} is no learning rate: take 0 or more, or -1 for a tenth", t.min_lr));
  }
  if (t.micro_batch * t.sequence > std::numeric_limits<std::int32_t>::max()) {
    violations.push_back(fmt::format(
        "train.micro_batch={} x train.sequence={} is more than {} tokens: lower one of them",
        t.micro_batch, t.sequence, std::numeric_limits<std::int32_t>::max()));
  }
  if (options.checkpoint.resume.empty()) {
    violations.emplace_back("checkpoint.resume is empty: take auto, none, or a checkpoint's path");
  }
  if (options.run.dir.empty()) violations.emplace_back("run.dir is empty: name a folder");
  if (t.min_lr > t.lr) {
    violations.push_back(
        fmt::format("train.min_lr={} is above train.lr={}: lower it, or leave it out for a tenth",
                    t.min_lr, t.lr));
  }
  if (t.dump_gradients_at > t.steps) {
    violations.push_back(fmt::format("train.dump_gradients_at={} lies beyond train.steps={}",
                                     t.dump_gradients_at, t.steps));
  }
  if (t.profile_step > t.steps) {
    violations.push_back(
        fmt::format("train.profile_step={} is after the last step, train.steps={}: lower it",
                    t.profile_step, t.steps));
  }
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
  // Where the list can't be read, that alone is said of it.
  if (spans.empty()) spans.assign(static_cast<std::size_t>(layers), Span{});
  if (std::ssize(spans) != layers) {
    violations.push_back(fmt::format(
        "model.spans={} names {} layers, model.layers={}: write one span a layer, as in full*{}",
        to_string(spans), spans.size(), layers, layers));
    spans.resize(static_cast<std::size_t>(layers));
  }
  if (layers > Options::max_layers) {
    violations.push_back(
        fmt::format("model.spans names {} layers: at most {}", layers, Options::max_layers));
  }
  AttentionSpec attention{.heads = m.heads};
  if (m.attention_scale != "1") {
    attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(m.hidden / m.heads)));
  }
  const GeluMlpSpec mlp{m.ffn > 0 ? m.ffn : 4 * m.hidden};
  return {.hidden = m.hidden,
          .vocab = m.vocab > 0 ? m.vocab : store_vocab,
          .positions = m.positions > 0 ? m.positions : options.train.sequence,
          .blocks = blocks_of_spans(spans, attention, mlp),
          .tied = m.tied};
}

// `found`: what is wrong already.
RunPlan decide(const Options& options, int ranks, ModelConfig model,
               std::vector<std::string> found) {
  RunPlan plan;
  plan.model = std::move(model);
  plan.mesh = make_mesh(options, ranks, found);
  if (options.train.sequence > plan.model.positions) {
    found.push_back(fmt::format(
        "train.sequence={} is longer than model.positions={}: raise the one or lower the other",
        options.train.sequence, plan.model.positions));
  }
  std::ranges::move(violations(plan.model, plan.mesh), std::back_inserter(found));
  gather(found, "", [&] {
    plan.partition =
        make_partition(options.parallel.partition, plan.model.layers(), plan.mesh.pipe);
  });
  gather(found, "", [&] {
    plan.policy.recompute = parse_recompute(options.train.recompute, plan.model.layers());
  });
  plan.micro_batches = count_micro_batches(options, plan.mesh, found);
  check_training(options, found);
  if (!found.empty()) refuse("{}", fmt::join(found, "\n"));

  plan.policy.shape = {options.train.micro_batch, options.train.sequence};
  plan.policy.dtype = options.train.dtype == "bf16" ? DType::bf16 : DType::f32;
  plan.policy.device = options.runtime.device == "cuda" ? Device::cuda : Device::cpu;
  plan.policy.deterministic = options.runtime.deterministic;
  plan.policy.sequence_parallel = options.parallel.sequence_parallel;
  plan.global_batch = options.train.global_batch;
  plan.optimizer = make_optimizer(options);
  plan.training = make_schedule(options.parallel.schedule, plan.mesh.pipe, plan.micro_batches);
  plan.evaluation = forward_only(plan.training.placement, plan.micro_batches);
  validate(plan.training);
  validate(plan.evaluation);
  return plan;
}

}  // namespace

RunPlan make_run_plan(const Options& options, int ranks, std::int64_t store_vocab) {
  std::vector<std::string> found;
  ModelConfig model = make_model(options, store_vocab, found);
  return decide(options, ranks, std::move(model), std::move(found));
}

RunPlan make_run_plan(const Options& options, int ranks, ModelConfig model) {
  return decide(options, ranks, std::move(model), {});
}

StageSpec RunPlan::describe_stage(const Coordinate& at) const {
  return StageSpec(model, mesh, at, partition, policy, training.placement);
}

StagePlan RunPlan::plan_stage(const StageSpec& stage, Purpose purpose) const {
  return masformer::plan_stage(stage, purpose, training, evaluation);
}

namespace {

// How the layers compute, a line.
std::string describe_policy(const RunPlan& plan) {
  const auto& attention = std::get<AttentionSpec>(plan.model.blocks.front().mixer);
  std::vector<std::string> words{std::string(name_of(plan.policy.dtype)),
                                 fmt::format("attention scale {}", attention.scale)};
  if (plan.mesh.tensor > 1 && plan.policy.sequence_parallel)
    words.emplace_back("sequence parallel");
  const auto count = [&](Recompute policy, const char* name) {
    const auto blocks = std::ranges::count(plan.policy.recompute, policy);
    if (blocks > 0)
      words.push_back(
          fmt::format("recompute {}: {} of {} blocks", name, blocks, plan.model.layers()));
  };
  count(Recompute::selective, "selective");
  count(Recompute::block, "block");
  return fmt::format("compute   {}\n", fmt::join(words, "; "));
}

// Short trials of a long run's options are common, and welcome; their course is another one.
std::string describe_course(const OptimizerConfig& course) {
  if (course.warmup_steps <= course.steps) return {};
  return fmt::format(
      "note      train.warmup_steps={} is beyond train.steps={}: the rate rises to {:.3g}, and "
      "not to train.lr={}; lower the one or raise the other for a whole course\n",
      course.warmup_steps, course.steps, learning_rate(course, course.steps), course.lr);
}

}  // namespace

std::string describe(const RunPlan& plan) {
  const BlockSpec& block = plan.model.blocks.front();
  std::string text = fmt::format(
      "model     {} layers, hidden {}, {} heads, ffn {}, vocabulary {}, positions {}\n"
      "          spans {}; {} parameters\n"
      "layout    {}; {} micro-batches of {} x {} tokens a data rank\n",
      plan.model.layers(), plan.model.hidden, std::get<AttentionSpec>(block.mixer).heads,
      std::get<GeluMlpSpec>(block.mlp).ffn, plan.model.vocab, plan.model.positions,
      to_string(spans_of(plan.model.blocks)), parameter_count(plan.model), plan.mesh.to_string(),
      plan.micro_batches, plan.policy.shape.samples, plan.policy.shape.sequence);
  text += describe_policy(plan) + describe_course(plan.optimizer);
  return text + describe_memory(plan, Purpose::training);
}

std::string describe_memory(const RunPlan& plan, Purpose purpose) {
  constexpr double mib = 1 << 20;
  std::string text =
      fmt::format("memory    {:>24} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}   MiB a rank\n", "stage",
                  "weights", "gradients", "optimizer", "activations", "other", "total");
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    // The last ones own the most rows and tokens.
    const Coordinate at{.pipe = pipe, .data = plan.mesh.data - 1, .tensor = plan.mesh.tensor - 1};
    const StageSpec stage = plan.describe_stage(at);
    const MemoryTable memory = plan_memory(stage, plan.plan_stage(stage, purpose));
    const LayerRange range = plan.partition[static_cast<std::size_t>(pipe)];
    text += fmt::format("          {:>24} {:>9.1f} {:>9.1f} {:>9.1f} {:>11.1f} {:>9.1f} {:>9.1f}\n",
                        fmt::format("{}: {}", pipe, to_string(range)), double(memory.weights) / mib,
                        double(memory.gradients) / mib, double(memory.optimizer) / mib,
                        double(memory.activations) / mib,
                        double(memory.batch + memory.messages + memory.workspace) / mib,
                        double(memory.total()) / mib);
  }
  return text;
}

}  // namespace masformer
