#include "launch/plan/describe.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/cost/flops.h"
#include "runtime/counted.h"

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

// "1024" rows of a table, "rotary, theta 1000000 (10000 in windows and blocks)", or "none".
std::string describe_positions(const ModelConfig& model) {
  if (model.positions_kind == PositionsKind::learned) return std::to_string(model.positions);
  const auto thetas = thetas_of(model.blocks);
  std::string text(name_of(model.positions_kind));
  if (thetas) text += fmt::format(", theta {}", thetas->full);
  if (thetas && thetas->window != thetas->full)
    text += fmt::format(" ({} in windows and blocks)", thetas->window);
  return text;
}

std::string describe_sizes(const ModelConfig& model) {
  const BlockSpec& block = model.blocks.front();
  return fmt::format("{} layers, hidden {}, {}, {}, vocabulary {}, positions {}", model.layers(),
                     model.hidden, std::visit(size_text, block.mixer),
                     std::visit(size_text, block.mlp), model.vocab, describe_positions(model));
}

std::string describe_spans(const ModelConfig& model) {
  return fmt::format("spans {}; {} parameters", to_string(spans_of(model.blocks)),
                     parameter_count(model));
}

// One line: dtype, how the mixer computes and what is recomputed.
std::string describe_policy(const RunPlan& plan) {
  std::vector<std::string> words{std::string(name_of(plan.policy.dtype)),
                                 std::visit(computation_text, plan.model.blocks.front().mixer)};
  if (plan.mesh.tensor > 1 && plan.policy.sequence_parallel)
    words.emplace_back("sequence parallel");
  if (plan.policy.document_mask) words.emplace_back("documents masked");
  for (const auto& [policy, name] : enum_names<Recompute>) {
    const auto blocks = std::ranges::count(plan.policy.recompute, policy);
    if (policy == Recompute::none || blocks == 0) continue;
    words.push_back(
        fmt::format("recompute {}: {} of {} blocks", name, blocks, plan.model.layers()));
  }
  if (plan.policy.ffn_block > 0)
    words.push_back(fmt::format("MLPs by {} tokens", plan.policy.ffn_block));
  return fmt::format("compute   {}\n", fmt::join(words, "; "));
}

constexpr int rows_of_page = 4;           // stages and spans that the start page shows
constexpr std::size_t ranks_of_page = 8;  // context ranks

// The stages that are shown in `rows` rows: the first ones and the last, with -1 for the gap.
std::vector<int> shown_stages(int stages, int rows) {
  std::vector<int> shown;
  for (int stage = 0; stage < stages; ++stage) {
    const bool between = stages > rows && stage >= rows - 2 && stage < stages - 1;
    if (!between) shown.push_back(stage);
    if (between && stage == rows - 2) shown.push_back(-1);
  }
  return shown;
}

std::string stages_between(int stages, int rows) {
  return fmt::format("          ... {} more stages\n", stages - (rows - 1));
}

// "1.000 0.995", or of many ranks "0.995 to 1.003".
std::string describe_shares(const std::vector<double>& pairs) {
  const double mean = std::accumulate(pairs.begin(), pairs.end(), 0.0) / double(pairs.size());
  if (pairs.size() > ranks_of_page) {
    const auto [least, most] = std::ranges::minmax(pairs);
    return fmt::format("{:.3f} to {:.3f}", least / mean, most / mean);
  }
  std::vector<std::string> shares;
  for (const double each : pairs) shares.push_back(fmt::format("{:.3f}", each / mean));
  return fmt::format("{}", fmt::join(shares, " "));
}

// What each context rank computes in attention, by span and in total: pairs of a query and a key,
// relative to the mean of the ranks.
std::string describe_context(const RunPlan& plan) {
  const SequenceSharding& sharding = *plan.policy.sharding;
  if (sharding.ranks() == 1) return {};
  const ContextFull full = plan.policy.context_full;
  const std::vector<Span> spans = spans_of(plan.model.blocks);
  const bool has_heads = std::ranges::any_of(
      spans, [&](const Span& span) { return is_by_heads(full, span, sharding.ranks()); });
  std::string text = fmt::format(
      "context   {} tokens per rank in the order {}{}; work of each rank over the mean:\n",
      sharding.rows(), sharding.to_string(), has_heads ? ", full layers by heads" : "");
  std::map<std::string, std::vector<double>> rows;  // by span
  std::vector<double> total(static_cast<std::size_t>(sharding.ranks()));
  for (const Span& span : spans) {
    const auto [row, is_new] = rows.try_emplace(to_string(span), total.size());
    for (int rank = 0; rank < sharding.ranks(); ++rank) {
      const auto at = static_cast<std::size_t>(rank);
      if (is_new)
        row->second[at] = static_cast<double>(work_of(sharding, {span, full}, rank).pairs);
      total[at] += row->second[at];
    }
  }
  if (rows.size() > rows_of_page - 1) rows.clear();
  if (rows.size() != 1) rows["all layers"] = total;
  for (const auto& [name, pairs] : rows) {
    text += fmt::format("          {:>24} {}\n", name, describe_shares(pairs));
  }
  return text;
}

// "layers 0-5, layers 18-23"
std::string layers_of(const Partition& partition, const Placement& placement, int stage) {
  std::vector<std::string> ranges;
  for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
    const int part = placement.part(stage, chunk);
    ranges.push_back(to_string(partition[static_cast<std::size_t>(part)]));
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

// Each stage's share of the time that a micro-batch takes, beside that of an even partition.
std::string describe_partition(const RunPlan& plan) {
  const Forecast& forecast = plan.forecast;
  const bool is_even = plan.partition == forecast.even;
  if (plan.mesh.pipe == 1 || forecast.stage_seconds.empty()) return {};
  const auto share = [](const std::vector<double>& seconds, std::size_t stage) {
    return 100 * seconds[stage] / std::accumulate(seconds.begin(), seconds.end(), 0.0);
  };
  std::string text = fmt::format("partition {}", forecast.source);
  if (is_even) text += ", which is even";
  const double saved = 100 * (1 - forecast.step_seconds / forecast.even_step_seconds);
  if (!is_even) {
    text += fmt::format("; by {} a step takes {:.1f}% {} than with even stages", forecast.costs,
                        std::abs(saved), saved < 0 ? "more" : "less");
  }
  text += "\n";
  for (const int pipe : shown_stages(plan.mesh.pipe, rows_of_page)) {
    if (pipe < 0) text += stages_between(plan.mesh.pipe, rows_of_page);
    if (pipe < 0) continue;
    const auto stage = static_cast<std::size_t>(pipe);
    text += fmt::format("          stage {}: {}, {:.1f}% of the time", pipe, layers_of(plan, pipe),
                        share(forecast.stage_seconds, stage));
    if (!is_even) {
      text += fmt::format("; even: {}, {:.1f}%",
                          layers_of(forecast.even, plan.training.placement, pipe),
                          share(forecast.even_stage_seconds, stage));
    }
    text += "\n";
  }
  return text;
}

std::string describe_schedule(const RunPlan& plan, const Options& options) {
  if (plan.mesh.pipe == 1) return {};
  const int chunks = plan.training.placement.chunks();
  const char* order = "";
  if (options.parallel.schedule == "auto") {
    switch (plan.order_source) {
      case OrderSource::search:
        order = ": the fastest order found by simulation in the memory of 1f1b";
        break;
      case OrderSource::record:
        order = ": the order that the checkpoint records";
        break;
      case OrderSource::generator:
        order = ": the order of a fixed schedule, as no faster one that fits was found";
    }
  }
  return fmt::format("schedule  {}{}{}\n", options.parallel.schedule,
                     chunks > 1 ? fmt::format(", {} parts per stage", chunks) : "", order);
}

std::string describe_recomputation(const RunPlan& plan, const Options& options) {
  if (options.train.recompute != "auto") return {};
  const std::int64_t limit = plan.forecast.memory_limit;
  const bool none = std::ranges::all_of(plan.policy.recompute,
                                        [](Recompute policy) { return policy == Recompute::none; });
  const std::string room = fmt::format("{:.2f} GiB per rank{}", double(limit) / (1 << 30),
                                       options.plan.memory_gib > 0 ? " (plan.memory_gib)" : "");
  std::string text;
  if (limit == PlanInputs::unlimited) {
    text = "nothing, as no limit of memory is known; plan.memory_gib sets one";
  } else {
    text = (none ? "nothing, as every stage fits in " : "no more than keeps each stage within ") +
           room;
  }
  return fmt::format("recompute auto: {}\n", text);
}

std::string describe_context_choice(const RunPlan& plan, const Options& options) {
  std::vector<std::string> chosen;
  if (plan.mesh.context == 1) return {};
  if (!options.parallel.context_order) {
    chosen.emplace_back(plan.kept_context.order ? "the order as before"
                                                : "the order of least cost to the slowest rank");
  }
  if (!options.parallel.context_full) {
    chosen.push_back(fmt::format("full layers by {}, {}", name_of(plan.policy.context_full),
                                 plan.kept_context.full ? "as before" : "the shorter step"));
  }
  if (chosen.empty()) return {};
  return fmt::format("          auto: {}\n", fmt::join(chosen, "; "));
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

std::string describe_blocks(const ModelConfig& model) {
  const BlockSpec& block = model.blocks.front();
  return fmt::format("{}, {}, {}, spans {}", std::visit(size_text, block.mixer),
                     std::visit(size_text, block.mlp), describe_positions(model),
                     to_string(spans_of(model.blocks)));
}

std::string describe_model(const ModelConfig& model) {
  return describe_sizes(model) + ", " + describe_spans(model);
}

std::string describe_model(const RunPlan& plan) {
  std::string text = fmt::format(
      "model     {}\n"
      "          {}\n"
      "layout    {}\n"
      "          {} of {} x {} tokens per data rank, of {} samples in a step\n",
      describe_sizes(plan.model), describe_spans(plan.model), plan.mesh.to_string(),
      counted(plan.micro_batches, "micro-batch"), plan.policy.shape.samples,
      plan.policy.shape.sequence, plan.global_batch);
  return text + describe_policy(plan) + describe_course(plan.optimizer);
}

std::string describe_choices(const RunPlan& plan, const Options& options) {
  return describe_partition(plan) + describe_schedule(plan, options) +
         describe_recomputation(plan, options) + describe_context(plan) +
         describe_context_choice(plan, options);
}

std::string describe(const RunPlan& plan) {
  return describe_model(plan) + describe_partition(plan) + describe_context(plan) +
         describe_memory(plan, Purpose::training);
}

std::string layers_of(const RunPlan& plan, int stage) {
  return layers_of(plan.partition, plan.training.placement, stage);
}

MemoryTable largest_memory(const RunPlan& plan, int pipe, Purpose purpose) {
  MemoryTable largest;
  std::vector<BufferSpec> buffers;
  std::optional<StagePlan> stage_plan;  // of these buffers; most context ranks have the same
  for (int context = 0; context < plan.mesh.context; ++context) {
    // The last data rank and tensor rank own the most rows and tokens.
    const StageSpec stage = plan.describe_stage({.pipe = pipe,
                                                 .data = plan.mesh.data - 1,
                                                 .context = context,
                                                 .tensor = plan.mesh.tensor - 1});
    if (!stage_plan || stage.buffers != buffers) {
      stage_plan = plan.plan_stage(stage, purpose);
      buffers = stage.buffers;
    }
    const MemoryTable memory = plan_memory(stage, *stage_plan);
    if (memory.total() > largest.total()) largest = memory;
  }
  return largest;
}

std::string describe_memory(const RunPlan& plan, Purpose purpose, int rows) {
  constexpr double mib = 1 << 20;
  std::string text = fmt::format("memory    {:>24} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
                                 "MiB per rank, by stage", "weights", "gradients", "optimizer",
                                 "activations", "other", "total");
  for (const int pipe : shown_stages(plan.mesh.pipe, rows)) {
    if (pipe < 0) text += stages_between(plan.mesh.pipe, rows);
    if (pipe < 0) continue;
    const MemoryTable memory = largest_memory(plan, pipe, purpose);
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
