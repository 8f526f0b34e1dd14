#include "model/stage.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/error.h"
#include "runtime/op_timer.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

Stage::Stage(StageSpec spec, StagePlan plan, const Stream& stream, const ProcessGroups& groups)
    : spec_(std::move(spec)),
      stream_(stream),
      groups_(groups),
      plan_(std::move(plan)),
      parameters_(stream.device(), spec_.parameters, spec_.dtype, plan_.purpose),
      sync_(stream_, parameters_, spec_.shared_table, groups_) {
  const bool on_host = stream.device_stream() == nullptr;
  require(spec_.on_host == on_host && spec_.deterministic == stream.deterministic(),
          "the stage's specification (on_host={}, deterministic={}) does not match its stream ({}, "
          "deterministic={})",
          spec_.on_host, spec_.deterministic, name_of(stream.device()), stream.deterministic());
  const MemoryTable memory = plan_memory(spec_, plan_);
  activations_ = Arena(stream.device(), memory.activations);
  batches_ = Arena(stream.device(), memory.batch);
  const MicroBatchShape& shape = spec_.shape;
  for (int i = 0; i < plan_.micro_batches; ++i) {
    const Tensor ids = batches_.take(ids_shape(spec_), DType::i32);
    const auto row = [&](int index) {
      return Tensor(ids.data<std::int32_t>() + index * ids.stride(0), {shape.tokens()}, DType::i32,
                    ids.device());
    };
    micro_batches_.push_back({shape.samples, shape.sequence, row(0), row(1), row(2)});
    if (spec_.document_mask) {
      micro_batches_.back().first_keys = row(3).reshape({shape.samples, shape.sequence});
    }
    if (spec_.all_first_keys) {
      const Tensor all = batches_.take(all_first_keys_shape(spec_), DType::i32);
      micro_batches_.back().all_first_keys = all;
      all_first_keys_.emplace_back(stream_, all);
    }
    uploads_.emplace_back(stream_, ids);
  }
  loss_ = batches_.take({1}, DType::f64);
  std::int64_t offset = plan_.peak();
  for (const ChunkSpec& chunk : spec_.chunks) {
    const std::int64_t bytes = spec_.sent_gradient_bytes(chunk);
    sent_gradients_.push_back(bytes > 0 ? activations_.at(offset, spec_.activations(), spec_.dtype)
                                        : Tensor());
    offset += bytes;
  }
  buffers_.resize(spec_.buffers.size());
  if (!on_host) stream_.device_stream()->reserve_scratch(memory.workspace);
}

MemoryTable Stage::memory() const {
  const ParameterMemory parameters = parameters_.memory();
  return {.weights = parameters.values,
          .gradients = parameters.gradients,
          .optimizer = parameters.masters + parameters.moments,
          .activations = activations_.capacity(),
          .batch = batches_.used(),
          .messages = spec_.on_host ? groups_.working_memory() : 0,
          .workspace = spec_.on_host ? 0 : stream_.device_stream()->scratch_bytes()};
}

void Stage::set_micro_batch(int index, const MicroBatchSource& source) {
  require(spec_.document_mask == (source.first_keys != nullptr) &&
              std::ssize(source.document_starts) == (spec_.document_mask ? spec_.shape.samples : 0),
          "a micro-batch comes with documents if and only if the stage masks them");
  Upload& upload = uploads_[static_cast<std::size_t>(index)];
  const Tensor ids = upload.host();
  auto* row = ids.data<std::int32_t>();
  for (const std::int32_t* const from :
       {source.tokens, source.labels, source.positions, source.first_keys}) {
    if (from == nullptr) continue;
    std::copy_n(from, spec_.shape.tokens(), row);
    row += ids.stride(0);
  }
  upload.send();
  micro_batches_[static_cast<std::size_t>(index)].document_starts = source.document_starts;
  if (spec_.all_first_keys) set_all_first_keys(index, source.document_starts);
}

void Stage::set_all_first_keys(int index,
                               const std::vector<std::vector<std::int64_t>>& document_starts) {
  Upload& upload = all_first_keys_[static_cast<std::size_t>(index)];
  const Tensor all = upload.host();
  auto* key = all.data<std::int32_t>();
  for (const std::vector<std::int64_t>& starts : document_starts) {
    for (auto start = starts.begin(); start != starts.end(); ++start) {
      const auto next = std::next(start);
      const std::int64_t end = next == starts.end() ? all.dim(1) : *next;
      key = std::fill_n(key, end - *start, static_cast<std::int32_t>(*start));
    }
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
  return buffer(action, chunk(action).boundary.front());
}

Tensor Stage::output(const Action& action) {
  return buffer(action, chunk(action).boundary.back());
}

Tensor Stage::input_gradient(const Action& action) {
  return sent_gradients_[static_cast<std::size_t>(action.chunk)];
}

Tensor Stage::output_gradient(const Action& action) {
  return buffer(action, chunk(action).gradient.back());
}

void Stage::run(const Action& action) {
  place_buffers(action);
  LayerContext context{.stream = stream_,
                       .tensor = *groups_.tensor,
                       .context = *groups_.context,
                       .parameters = parameters_,
                       .batch = micro_batches_[static_cast<std::size_t>(action.micro_batch)],
                       .evaluation = evaluating_,
                       .buffers = buffers_,
                       .loss = loss_};
  const ChunkSpec& own = chunk(action);
  const auto at = [&](const std::optional<BufferId>& id) { return id ? buffers_[*id] : Tensor(); };
  const bool last = action.micro_batch == plan_.micro_batches - 1;
  for (const ProgramPoint& point : spec_.program.points(action.kind, action.chunk)) {
    const auto place = static_cast<std::size_t>(point.layer - own.layers.begin);
    context.input = at(own.boundary[place]);
    context.output = at(own.boundary[place + 1]);
    context.output_gradient = at(own.gradient[place + 1]);
    context.input_gradient = place == 0 ? input_gradient(action) : at(own.gradient[place]);
    run_pass(point, context);
    if (point.pass == Pass::backward_weight && last) {
      sync_.reduce(spec_.layer_parameters[static_cast<std::size_t>(point.layer)]);
    }
    sync_.poll();
  }
  if (OpTimer* const timer = stream_.timer()) timer->set_site({});
}

void Stage::place_buffers(const Action& action) {
  const auto [begin, end] = chunk(action).buffers;
  for (BufferId id = begin; id < end; ++id) buffers_[id] = buffer(action, id);
}

void Stage::run_pass(const ProgramPoint& point, LayerContext& context) {
  const auto index = static_cast<std::size_t>(point.layer);
  const Layer& layer = *spec_.layers[index];
  if (OpTimer* const timer = stream_.timer()) {
    timer->set_site({layer.kind(), std::string(name_of(point.pass))});
  }
  switch (point.pass) {
    case Pass::forward:
      sync_.wait_for(spec_.layer_parameters[index]);
      return layer.forward(context);
    case Pass::recompute:
      return layer.recompute(context);
    case Pass::backward_input:
      return layer.backward_input(context);
    case Pass::backward_weight:
      return layer.backward_weight(context);
  }
}

Tensor Stage::buffer(const Action& action, BufferId id) const {
  const ActivationPlan& plan = evaluating_ ? plan_.evaluation : plan_.training;
  const std::int64_t offset = plan.offset(action.kind, action.micro_batch, id);
  if (offset < 0) return {};
  const BufferSpec& spec = spec_.buffers[id];
  return activations_.at(offset, spec.shape, spec.dtype);
}

Tensor Stage::buffer(const Action& action, const std::optional<BufferId>& id) const {
  return id ? buffer(action, *id) : Tensor();
}

}  // namespace masformer
