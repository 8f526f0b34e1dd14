#include "launch/plan/describe.h"

#include <algorithm>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/cost.h"

namespace masformer {
namespace {

// One overload per alternative of MixerSpec and MlpSpec. They describe its sizes, and how it
// computes.
std::string describe_size(const AttentionSpec& attention) {
  return fmt::format("{} heads", attention.heads);
}
std::string describe_size(const GeluMlpSpec& mlp) {
  return fmt::format("ffn {}", mlp.ffn);
}
std::string describe_computation(const AttentionSpec& attention) {
  return fmt::format("attention scale {}", attention.scale);
}

constexpr auto size_text = [](const auto& spec) { return describe_size(spec); };
constexpr auto computation_text = [](const auto& spec) { return describe_computation(spec); };

// One line: dtype, how the mixer computes and what is recomputed.
std::string describe_policy(const RunPlan& plan) {
  std::vector<std::string> words{std::string(name_of(plan.policy.dtype)),
                                 std::visit(computation_text, plan.model.blocks.front().mixer)};
  if (plan.mesh.tensor > 1 && plan.policy.sequence_parallel)
    words.emplace_back("sequence parallel");
  for (const auto& [policy, name] : enum_names<Recompute>) {
    const auto blocks = std::ranges::count(plan.policy.recompute, policy);
    if (policy == Recompute::none || blocks == 0) continue;
    words.push_back(
        fmt::format("recompute {}: {} of {} blocks", name, blocks, plan.model.layers()));
  }
  return fmt::format("compute   {}\n", fmt::join(words, "; "));
}

// A short trial with a long run's options may end within the warm-up. This is allowed, but worth a
// note, because the learning rate then never reaches train.lr.
std::string describe_course(const OptimizerConfig& course) {
  if (course.warmup_steps <= course.steps) return {};
  return fmt::format(
      "note      train.warmup_steps={} is more than train.steps={}: the learning rate only rises "
      "to "
      "{:.3g}, not to train.lr={}; lower train.warmup_steps or raise train.steps\n",
      course.warmup_steps, course.steps, learning_rate(course, course.steps), course.lr);
}

}  // namespace

std::string describe(const RunPlan& plan) {
  const BlockSpec& block = plan.model.blocks.front();
  std::string text = fmt::format(
      "model     {} layers, hidden {}, {}, {}, vocabulary {}, positions {}\n"
      "          spans {}; {} parameters\n"
      "layout    {}; {} micro-batches of {} x {} tokens per data rank\n",
      plan.model.layers(), plan.model.hidden, std::visit(size_text, block.mixer),
      std::visit(size_text, block.mlp), plan.model.vocab, plan.model.positions,
      to_string(spans_of(plan.model.blocks)), parameter_count(plan.model), plan.mesh.to_string(),
      plan.micro_batches, plan.policy.shape.samples, plan.policy.shape.sequence);
  text += describe_policy(plan) + describe_course(plan.optimizer);
  return text + describe_memory(plan, Purpose::training);
}

std::string layers_of(const RunPlan& plan, int stage) {
  const Placement& placement = plan.training.placement;
  std::vector<std::string> ranges;
  for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
    const int part = placement.part(stage, chunk);
    ranges.push_back(to_string(plan.partition[static_cast<std::size_t>(part)]));
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

std::string describe_memory(const RunPlan& plan, Purpose purpose) {
  constexpr double mib = 1 << 20;
  std::string text =
      fmt::format("memory    {:>24} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}   MiB per rank\n", "stage",
                  "weights", "gradients", "optimizer", "activations", "other", "total");
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    // The last data and tensor ranks own the most rows and tokens, so show their memory.
    const Coordinate at{.pipe = pipe, .data = plan.mesh.data - 1, .tensor = plan.mesh.tensor - 1};
    const StageSpec stage = plan.describe_stage(at);
    const MemoryTable memory = plan_memory(stage, plan.plan_stage(stage, purpose));
    text += fmt::format("          {:>24} {:>9.1f} {:>9.1f} {:>9.1f} {:>11.1f} {:>9.1f} {:>9.1f}\n",
                        fmt::format("{}: {}", pipe, layers_of(plan, pipe)),
                        double(memory.weights) / mib, double(memory.gradients) / mib,
                        double(memory.optimizer) / mib, double(memory.activations) / mib,
                        double(memory.batch + memory.messages + memory.workspace) / mib,
                        double(memory.total()) / mib);
  }
  return text;
}

}  // namespace masformer
