#include "launch/plan/step_costs.h"

#include <algorithm>
#include <cmath>

namespace masformer {
namespace {

constexpr double fp32_bytes = 4;
// AdamW reads a gradient, a master and two moments, and writes the last three
// (runtime/ops/adamw.h); the norm reads the gradients once more.
constexpr double bytes_per_update = 8 * fp32_bytes;

double table_bytes(const ParameterSpec& table) {
  const auto columns = static_cast<double>(table.shape.elements() / table.shape[0]);
  return fp32_bytes * static_cast<double>(table.owned.count) * columns;
}

// The costs of one stage's rank that do not depend on the other stages.
class RankCosts {
 public:
  RankCosts(const RunPlan& plan, const StageSpec& stage, const DeviceFigures& figures)
      : stage_(stage),
        streamed_(figures.of(DType::f32).streamed),
        call_seconds_(figures.call_seconds),
        link_(figures.link_over(plan.mesh.tensor * plan.mesh.context * plan.mesh.data)) {}

  std::vector<LayerSeconds> layers(StageLayers range, const LayerTimes& times) const {
    std::vector<LayerSeconds> all;
    for (int layer = range.begin; layer < range.end; ++layer) {
      const ParameterMemory memory = memory_of(layer);
      all.push_back({.passes = times.of(stage_, layer),
                     .reduce = collective(static_cast<double>(memory.gradients)),
                     .gather = collective(static_cast<double>(memory.values))});
    }
    return all;
  }

  // Zeroing the gradients, the norm's sum, and AdamW.
  double update() const {
    double elements = 0;
    for (const ParameterSpec& parameter : stage_.parameters) {
      elements += table_bytes(parameter) / fp32_bytes;
    }
    const ParameterMemory memory =
        lay_out_parameters(stage_.parameters, stage_.dtype, Purpose::training).memory;
    return (bytes_per_update * elements + static_cast<double>(memory.gradients)) / streamed_ +
           call_seconds_ * static_cast<double>(stage_.parameters.size());
  }

 private:
  ParameterMemory memory_of(int layer) const {
    const ParameterRange range = stage_.layer_parameters[static_cast<std::size_t>(layer)];
    const auto first = stage_.parameters.begin();
    return lay_out_parameters({first + static_cast<std::ptrdiff_t>(range.begin),
                               first + static_cast<std::ptrdiff_t>(range.end)},
                              stage_.dtype, Purpose::training)
        .memory;
  }

  // A reduce-scatter or an all-gather of these bytes over the replicas.
  double collective(double bytes) const {
    const double ranks = stage_.replicas;
    if (ranks == 1) return 0;
    return std::log2(ranks) * link_.message_seconds +
           bytes * (ranks - 1) / ranks / link_.bytes_per_second;
  }

  const StageSpec& stage_;
  double streamed_, call_seconds_;
  const LinkFigures& link_;
};

// All ranks add up the norm and the loss. Before, the two stages that share a table add up its
// gradients.
double norm_seconds(const RunPlan& plan, const StageSpec& stage, const DeviceFigures& figures) {
  const LinkFigures& link = figures.link_over(plan.mesh.size());
  double seconds =
      2 * 2 * std::ceil(std::log2(std::max(plan.mesh.size(), 1))) * link.message_seconds;
  if (stage.shared_table) {
    seconds += link.message_seconds +
               table_bytes(stage.parameters[*stage.shared_table]) / link.bytes_per_second;
  }
  return seconds;
}

}  // namespace

HandOffCosts hand_off_costs(const RunPlan& plan, const StageSpec& stage,
                            const DeviceFigures& figures) {
  const auto bytes = static_cast<double>(stage.activations().elements() * size_of(stage.dtype));
  const LinkFigures& link = figures.link_over(plan.mesh.size());
  return {.link = {.latency = link.message_seconds,
                   .bytes_per_second = link.bytes_per_second,
                   .message_bytes = bytes,
                   .rendezvous = stage.on_host},
          .local_seconds = figures.call_seconds + 2 * bytes / figures.of(stage.dtype).streamed};
}

StepCosts step_costs(const RunPlan& plan, const DeviceFigures& figures, const LayerTimes& times) {
  const Placement& placement = plan.training.placement;
  StepCosts costs;
  costs.parts.resize(static_cast<std::size_t>(placement.parts()));
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    const StageSpec stage = plan.describe_stage({.pipe = pipe});
    const RankCosts rank(plan, stage, figures);
    for (const ChunkSpec& chunk : stage.chunks) {
      costs.parts[static_cast<std::size_t>(chunk.part)] = rank.layers(chunk.layers, times);
    }
    costs.update.push_back(rank.update());
    if (pipe > 0) continue;
    const HandOffCosts hand_off = hand_off_costs(plan, stage, figures);
    costs.link = hand_off.link;
    costs.hand_over_seconds = hand_off.local_seconds;
    costs.norm = norm_seconds(plan, stage, figures);
  }
  return costs;
}

}  // namespace masformer
