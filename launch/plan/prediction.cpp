#include "launch/plan/prediction.h"

#include <algorithm>

#include "launch/plan/describe.h"
#include "model/cost/flops.h"
#include "model/cost/sent_bytes.h"

namespace masformer {
namespace {

double sum_of(const std::vector<LayerSeconds>& layers, std::size_t begin, std::size_t end) {
  double seconds = 0;
  for (std::size_t i = begin; i < end; ++i) seconds += layers[i].passes.total();
  return seconds;
}

double sum_of(const std::vector<LayerSeconds>& layers) {
  return sum_of(layers, 0, layers.size());
}

// Splits the seconds of each part's layers into those of the embedding, the blocks and the head.
void add_blocks(const RunPlan& plan, const StepCosts& costs, Prediction& prediction) {
  prediction.block_seconds.resize(static_cast<std::size_t>(plan.model.layers()));
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    const StageSpec stage = plan.describe_stage({.pipe = pipe});
    for (const ChunkSpec& chunk : stage.chunks) {
      const auto& layers = costs.parts[static_cast<std::size_t>(chunk.part)];
      const auto place = [&](int layer) {
        return static_cast<std::size_t>(layer - chunk.layers.begin);
      };
      if (stage.is_first(chunk)) prediction.embedding_seconds = layers.front().passes.total();
      if (stage.is_last(chunk)) prediction.head_seconds = layers.back().passes.total();
      int block = plan.partition[static_cast<std::size_t>(chunk.part)].begin;
      for (const StageLayers own : chunk.blocks) {
        prediction.block_seconds[static_cast<std::size_t>(block++)] =
            sum_of(layers, place(own.begin), place(own.end));
      }
    }
  }
}

double idle_share(const std::vector<TimeSpan>& actions, double start) {
  double busy = 0;
  for (const TimeSpan& action : actions) busy += action.seconds();
  const double seconds = actions.back().end - start;
  return seconds > 0 ? std::max(1 - busy / seconds, 0.0) : 0;
}

void add_stages(const RunPlan& plan, const StepCosts& costs, Prediction& prediction) {
  const Placement& placement = plan.training.placement;
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    const auto at = static_cast<std::size_t>(pipe);
    StagePrediction& stage = prediction.stages.emplace_back();
    for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
      stage.seconds += sum_of(costs.parts[static_cast<std::size_t>(placement.part(pipe, chunk))]);
    }
    stage.idle_share = idle_share(prediction.step.pipeline.actions[at], costs.update[at]);
    prediction.bubble += stage.idle_share / plan.mesh.pipe;
  }
}

// Gradients go to their owners in fp32, and weights come back in their own dtype. Those of norms
// are summed over the tensor ranks first, which counts as data.
void add_parameters(const RunPlan& plan, const StageSpec& stage, SentBytesEstimate& sent) {
  const ParameterLayout layout =
      lay_out_parameters(stage.parameters, stage.dtype, Purpose::training);
  const double tensor = plan.mesh.tensor, replicas = stage.replicas;
  double bytes = 0;
  for (const ParameterSpec& parameter : stage.parameters) {
    const auto elements = static_cast<double>(parameter.shape.elements());
    bytes += elements * static_cast<double>(size_of(DType::f32) + size_of(stage.dtype));
  }
  sent.data += tensor * (replicas - 1) * bytes;
  sent.data += replicas * 2 * (tensor - 1) * static_cast<double>(layout.partial_gradients);
  if (!stage.shared_table) return;
  const auto table = static_cast<double>(stage.parameters[*stage.shared_table].shape.elements());
  sent.pipeline += tensor * table * static_cast<double>(size_of(DType::f32));
}

SentBytesEstimate estimate_sent_bytes(const RunPlan& plan, const Simulation& pipeline) {
  SentBytesEstimate sent;
  const double groups = plan.mesh.data * plan.micro_batches;
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    const StageSpec stage = plan.describe_stage({.pipe = pipe});
    for (int layer = 0; layer < stage.program.layers(); ++layer) {
      const LayerBytes bytes = sent_bytes(stage, layer, plan.policy.context_full);
      sent.tensor += groups * plan.mesh.context * bytes.tensor;
      sent.context += groups * plan.mesh.tensor * bytes.context;
    }
    add_parameters(plan, stage, sent);
    if (pipe > 0) continue;
    const auto message = static_cast<double>(stage.activations().elements() * size_of(stage.dtype));
    sent.pipeline += static_cast<double>(pipeline.messages.size()) * message *
                     (plan.mesh.size() / plan.mesh.pipe);
  }
  return sent;
}

}  // namespace

Prediction predict_times(const RunPlan& plan, const DeviceFigures& figures,
                         const LayerTimes& times) {
  const StepCosts costs = step_costs(plan, figures, times);
  Prediction prediction;
  prediction.step = simulate_step(plan.training, costs);
  add_blocks(plan, costs, prediction);
  add_stages(plan, costs, prediction);
  prediction.sent = estimate_sent_bytes(plan, prediction.step.pipeline);
  const auto samples = static_cast<double>(plan.global_batch);
  const std::int64_t sequence = plan.policy.shape.sequence;
  prediction.tokens_per_second =
      samples * static_cast<double>(sequence) / prediction.step_seconds();
  prediction.flops_per_second = samples * training_flops(plan.model, sequence, PairCount::visible) /
                                prediction.step_seconds();
  prediction.mfu =
      prediction.flops_per_second / (plan.mesh.size() * figures.of(plan.policy.dtype).peak);
  return prediction;
}

void predict_memory(const RunPlan& plan, Prediction& prediction) {
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    prediction.stages[static_cast<std::size_t>(pipe)].memory =
        largest_memory(plan, pipe, Purpose::training);
  }
}

Prediction predict(const RunPlan& plan, const DeviceFigures& figures, const LayerTimes& times) {
  Prediction prediction = predict_times(plan, figures, times);
  predict_memory(plan, prediction);
  return prediction;
}

}  // namespace masformer
