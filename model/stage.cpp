#include "model/stage.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"
#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

Stage::Stage(StageSpec description, StagePlan plan, const Stream& stream,
             const ProcessGroups& groups)
    : description_(std::move(description)),
      stream_(stream),
      groups_(groups),
      plan_(std::move(plan)),
      parameters_(stream.device(), description_.parameters, description_.dtype, plan_.purpose),
      sync_(stream_, parameters_, description_.shared_table, groups_),
      activations_(stream.device(), plan_.peak()),
      batches_(stream.device(), plan_memory(description_, plan_).batch),
      sent_gradients_(stream.device(), description_.sent_gradient_bytes()) {
  const MicroBatchShape& shape = description_.shape;
  for (int i = 0; i < plan_.micro_batches; ++i) {
    const Tensor ids = batches_.take(ids_shape(shape), DType::i32);
    const auto row = [&](int index) {
      return Tensor(ids.data<std::int32_t>() + index * ids.stride(0), {shape.tokens()}, DType::i32,
                    ids.device());
    };
    micro_batches_.push_back({shape.samples, shape.sequence, row(0), row(1), row(2)});
    uploads_.emplace_back(stream_, ids);
  }
  loss_ = batches_.take({1}, DType::f64);
  require(description_.on_host == (stream.device_stream() == nullptr) &&
              description_.deterministic == stream.deterministic(),
          "a stage was described on_host={}, deterministic={}, and its stream is on {}, "
          "deterministic={}",
          description_.on_host, description_.deterministic, name_of(stream.device()),
          stream.deterministic());
  if (!description_.on_host) {
    stream_.device_stream()->reserve_scratch(plan_memory(description_, plan_).workspace);
  }
  if (!description_.first) {
    sent_gradient_ = sent_gradients_.take(description_.activations(), description_.dtype);
  }
}

MemoryTable Stage::memory() const {
  const ParameterMemory parameters = parameters_.memory();
  return {.weights = parameters.values,
          .gradients = parameters.gradients,
          .optimizer = parameters.masters + parameters.moments,
          .activations = activations_.capacity() + sent_gradients_.used(),
          .batch = batches_.used(),
          .messages = description_.on_host ? groups_.working_memory() : 0,
          .workspace = description_.on_host ? 0 : stream_.device_stream()->scratch_bytes()};
}

void Stage::set_micro_batch(int index, const std::int32_t* tokens, const std::int32_t* labels,
                            const std::int32_t* positions) {
  Upload& upload = uploads_[static_cast<std::size_t>(index)];
  const Tensor ids = upload.host();
  auto* row = ids.data<std::int32_t>();
  for (const std::int32_t* const from : {tokens, labels, positions}) {
    std::copy_n(from, description_.shape.tokens(), row);
    row += ids.stride(0);
  }
  upload.send();
}

void Stage::begin_training(std::int64_t predicted_tokens) {
  require(predicted_tokens > 0, "a step predicts no token");
  evaluating_ = false;
  fill_zero(stream_, loss_);
  for (MicroBatch& batch : micro_batches_) {
    batch.loss_scale = static_cast<float>(1.0 / static_cast<double>(predicted_tokens));
  }
  fill_zero(stream_, parameters_.gradients());
}

void Stage::begin_evaluation() {
  evaluating_ = true;
  fill_zero(stream_, loss_);
}

Tensor Stage::input(const Action& action) {
  return buffer(action, description_.boundary.front());
}

Tensor Stage::output(const Action& action) {
  return buffer(action, description_.boundary.back());
}

Tensor Stage::input_gradient(const Action&) {
  return sent_gradient_;
}

Tensor Stage::output_gradient(const Action& action) {
  return buffer(action, description_.gradient.back());
}

void Stage::run(const Action& action) {
  LayerContext run{.stream = stream_,
                   .tensor = *groups_.tensor,
                   .parameters = parameters_,
                   .batch = micro_batches_[static_cast<std::size_t>(action.micro_batch)],
                   .evaluation = evaluating_,
                   .loss = loss_};
  for (BufferId id = 0; id < description_.buffers.size(); ++id) {
    run.buffers.push_back(buffer(action, id));
  }
  const auto at = [&](const std::optional<BufferId>& id) {
    return id ? run.buffers[*id] : Tensor();
  };
  for (const ProgramPoint& point : description_.passes.program(action.kind)) {
    const auto layer = static_cast<std::size_t>(point.layer);
    run.input = at(description_.boundary[layer]);
    run.output = at(description_.boundary[layer + 1]);
    run.output_gradient = at(description_.gradient[layer + 1]);
    run.input_gradient = layer == 0 ? sent_gradient_ : at(description_.gradient[layer]);
    run_pass(point, run);
    const bool last = action.micro_batch == plan_.micro_batches - 1;
    if (point.pass == Pass::backward_weight && last) {
      sync_.reduce(description_.layer_parameters[layer]);
    }
    sync_.poll();
  }
  if (OpTimer* const timer = stream_.timer()) timer->set_site({});
}

void Stage::run_pass(const ProgramPoint& point, LayerContext& run) {
  const auto index = static_cast<std::size_t>(point.layer);
  const Layer& layer = *description_.layers[index];
  if (OpTimer* const timer = stream_.timer()) {
    timer->set_site({layer.kind(), std::string(name_of(point.pass))});
  }
  switch (point.pass) {
    case Pass::forward:
      sync_.wait_for(description_.layer_parameters[index]);
      return layer.forward(run);
    case Pass::recompute:
      return layer.recompute(run);
    case Pass::backward_input:
      return layer.backward_input(run);
    case Pass::backward_weight:
      return layer.backward_weight(run);
  }
}

Tensor Stage::buffer(const Action& action, BufferId id) const {
  const ActivationPlan& plan = evaluating_ ? plan_.evaluation : plan_.training;
  const std::int64_t offset = plan.offset(action.kind, action.micro_batch, id);
  if (offset < 0) return {};
  const BufferSpec& declared = description_.buffers[id];
  return activations_.at(offset, declared.shape, declared.dtype);
}

Tensor Stage::buffer(const Action& action, const std::optional<BufferId>& id) const {
  return id ? buffer(action, *id) : Tensor();
}

}  // namespace masformer
