#include "launch/plan/prediction_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/plan/describe.h"
#include "launch/plan/timeline.h"
#include "runtime/counted.h"

namespace masformer {
namespace {

constexpr double gib = 1024.0 * 1024 * 1024;

std::string duration(double seconds) {
  if (seconds >= 1) return fmt::format("{:.3g} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.3g} ms", 1e3 * seconds);
  return fmt::format("{:.3g} us", 1e6 * seconds);
}

std::int64_t most_memory(const Prediction& prediction) {
  std::int64_t most = 0;
  for (const StagePrediction& stage : prediction.stages) {
    most = std::max(most, stage.memory.total());
  }
  return most;
}

// "interleaved x 2", with the number of parts per stage if there are several.
std::string describe_schedule(const FoundLayout& layout) {
  if (layout.plan.mesh.pipe == 1) return "-";
  const int chunks = layout.plan.training.chunks();
  const std::string& name = layout.options.parallel.schedule;
  return chunks > 1 ? fmt::format("{} x {}", name, chunks) : name;
}

// "2, heads": the context ranks, and how they share full layers.
std::string describe_context(const RunPlan& plan) {
  if (plan.mesh.context == 1) return "1";
  return fmt::format("{}, {}", plan.mesh.context, name_of(plan.policy.context_full));
}

// How many blocks recompute what: "8 block", or "none".
std::string describe_recompute(const RunPlan& plan) {
  std::string text;
  for (const auto& [policy, name] : enum_names<Recompute>) {
    const auto blocks = std::ranges::count(plan.policy.recompute, policy);
    if (policy == Recompute::none || blocks == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", blocks, name);
  }
  return text.empty() ? "none" : text;
}

// The numbers of blocks: of each stage, or with several parts, of each stage's parts.
nlohmann::json partition_json(const RunPlan& plan) {
  const Placement& placement = plan.training.placement;
  nlohmann::json all = nlohmann::json::array();
  for (int stage = 0; stage < placement.stages(); ++stage) {
    nlohmann::json sizes = nlohmann::json::array();
    for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
      const auto part = static_cast<std::size_t>(placement.part(stage, chunk));
      sizes.push_back(plan.partition[part].size());
    }
    all.push_back(placement.chunks() == 1 ? sizes[0] : sizes);
  }
  return all;
}

// The actions of all stages, one stage after the other.
std::vector<TimelineBar> bars_of(const RunPlan& plan, const Prediction& prediction) {
  std::vector<TimelineBar> bars;
  for (int stage = 0; stage < plan.mesh.pipe; ++stage) {
    const auto at = static_cast<std::size_t>(stage);
    const std::vector<TimeSpan>& times = prediction.step.pipeline.actions[at];
    for (std::size_t i = 0; i < times.size(); ++i) {
      bars.push_back({stage, times[i].begin, times[i].end, plan.training.actions[at][i]});
    }
  }
  return bars;
}

// For each block of the model: the stage that holds it.
std::vector<int> block_stages(const RunPlan& plan) {
  std::vector<int> stages(static_cast<std::size_t>(plan.model.layers()));
  for (std::size_t part = 0; part < plan.partition.size(); ++part) {
    const int stage = plan.training.placement.place(static_cast<int>(part)).stage;
    const LayerRange& blocks = plan.partition[part];
    std::fill(stages.begin() + blocks.begin, stages.begin() + blocks.end, stage);
  }
  return stages;
}

std::vector<std::string> block_spans(const RunPlan& plan) {
  std::vector<std::string> texts;
  for (const Span& span : spans_of(plan.model.blocks)) texts.push_back(to_string(span));
  return texts;
}

}  // namespace

std::string describe(const SearchResult& result) {
  std::string text = fmt::format(
      "{:>6} {:>8} {:>9} {:>5} {:>11} {:>17} {:>12} {:>9} {:>12} {:>6} "
      "{:>6} {:>10}\n",
      "tensor", "pipeline", "context", "data", "micro-batch", "schedule", "recompute", "step",
      "tokens/s", "MFU", "bubble", "GiB a rank");
  for (const FoundLayout& layout : result.found) {
    const auto& p = layout.options.parallel;
    const Prediction& prediction = layout.prediction;
    text += fmt::format(
        "{:>6} {:>8} {:>9} {:>5} {:>11} {:>17} {:>12} {:>9} {:>12.0f} {:>5.1f}% {:>5.1f}% "
        "{:>10.3g}\n",
        p.tensor, p.pipeline, describe_context(layout.plan), p.data,
        layout.options.train.micro_batch, describe_schedule(layout),
        describe_recompute(layout.plan), duration(prediction.step_seconds()),
        prediction.tokens_per_second, 100 * prediction.mfu, 100 * prediction.bubble,
        static_cast<double>(most_memory(prediction)) / gib);
  }
  if (!result.ruled_out.empty()) text += "Others are left out:\n";
  for (const RuledOut& out : result.ruled_out) {
    text += fmt::format("{:>6}  {}\n", out.layouts, out.summary());
  }
  return text;
}

std::string describe_stages(const RunPlan& plan, const Prediction& prediction) {
  std::string text = fmt::format("{:>24} {:>17} {:>6} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}\n",
                                 "stage", "micro-batch takes", "idle", "weights", "gradients",
                                 "optimizer", "activations", "other", "GiB total");
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    const StagePrediction& stage = prediction.stages[static_cast<std::size_t>(pipe)];
    const auto of = [](std::int64_t bytes) { return static_cast<double>(bytes) / gib; };
    const MemoryTable& memory = stage.memory;
    const std::int64_t other =
        memory.total() - memory.weights - memory.gradients - memory.optimizer - memory.activations;
    text += fmt::format(
        "{:>24} {:>17} {:>5.1f}% {:>9.3g} {:>9.3g} {:>9.3g} {:>11.3g} {:>9.3g} {:>9.3g}\n",
        fmt::format("{}: {}", pipe, layers_of(plan, pipe)), duration(stage.seconds),
        100 * stage.idle_share, of(memory.weights), of(memory.gradients), of(memory.optimizer),
        of(memory.activations), of(other), of(memory.total()));
  }
  return text;
}

std::string describe_what_if(const Prediction& prediction, const std::vector<double>& factors,
                             double seconds) {
  std::vector<std::string> slow;
  for (std::size_t stage = 0; stage < factors.size(); ++stage) {
    if (factors[stage] == 1) continue;
    slow.push_back(fmt::format("stage {} took {} times as long", stage, factors[stage]));
  }
  return fmt::format("If {}, a step would take {} instead of {} ({:+.1f}%)\n",
                     fmt::join(slow, " and "), duration(seconds),
                     duration(prediction.step_seconds()),
                     100 * (seconds / prediction.step_seconds() - 1));
}

nlohmann::json to_json(const MemoryTable& memory) {
  return {{"weights", memory.weights},     {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}, {"activations", memory.activations},
          {"batch", memory.batch},         {"messages", memory.messages},
          {"workspace", memory.workspace}, {"total", memory.total()}};
}

nlohmann::json to_json(const Options& options, const RunPlan& plan, const Prediction& prediction) {
  nlohmann::json stage_seconds = nlohmann::json::array(), memory = nlohmann::json::array();
  nlohmann::json chosen = nlohmann::json::object();
  for (const auto& [name, value] : chosen_options(options, plan)) chosen[name] = value;
  for (const StagePrediction& stage : prediction.stages) {
    stage_seconds.push_back(stage.seconds);
    memory.push_back(to_json(stage.memory));
  }
  return {{"layout",
           {{"tensor", plan.mesh.tensor},
            {"pipeline", plan.mesh.pipe},
            {"context", plan.mesh.context},
            {"data", plan.mesh.data}}},
          {"partition", partition_json(plan)},
          {"micro_batches", plan.micro_batches},
          {"layer_seconds", prediction.block_seconds},
          {"layer_stages", block_stages(plan)},
          {"layer_spans", block_spans(plan)},
          {"embedding_seconds", prediction.embedding_seconds},
          {"head_seconds", prediction.head_seconds},
          {"stage_seconds", stage_seconds},
          {"step_seconds", prediction.step_seconds()},
          {"tokens_per_second", prediction.tokens_per_second},
          {"mfu", prediction.mfu},
          {"bubble", prediction.bubble},
          {"sent_bytes",
           {{"pipeline", prediction.sent.pipeline},
            {"data", prediction.sent.data},
            {"context", prediction.sent.context},
            {"tensor", prediction.sent.tensor}}},
          {"memory_bytes", memory},
          {"costs", plan.forecast.costs},
          {"schedule", options.parallel.schedule},
          {"options", chosen}};
}

nlohmann::json actions_json(const RunPlan& plan, const Prediction& prediction) {
  nlohmann::json stages = nlohmann::json::array();
  for (const TimelineBar& bar : bars_of(plan, prediction)) {
    if (bar.stage == static_cast<int>(stages.size())) stages.push_back(nlohmann::json::array());
    stages.back().push_back(
        {name_of(bar.action.kind), bar.action.micro_batch, bar.action.chunk, bar.begin, bar.end});
  }
  return stages;
}

std::string draw_step(const FoundLayout& layout) {
  const RunPlan& plan = layout.plan;
  const Prediction& prediction = layout.prediction;
  const std::string schedule = plan.mesh.pipe > 1 ? describe_schedule(layout) + ", " : "";
  return draw_timelines(
      {{.title = fmt::format("predicted, {}, {}{}: {} a step, {:.1f}% idle", plan.mesh.to_string(),
                             schedule, counted(plan.micro_batches, "micro-batch"),
                             duration(prediction.step_seconds()), 100 * prediction.bubble),
        .stages = plan.mesh.pipe,
        .bars = bars_of(plan, prediction),
        .step_end = prediction.step_seconds()}});
}

}  // namespace masformer
