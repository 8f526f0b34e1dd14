#include "model/parameters.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"
#include "runtime/ops/elementwise.h"
#include "runtime/random.h"

namespace masformer {
namespace {

// The index in the global tensor of the first element of row `row` of the slab.
std::int64_t global_row_start(const LogicalTensor& tensor, const Hyperslab& slab,
                              std::int64_t row) {
  if (tensor.global_shape.size() == 1) return slab.offset[0] + row;
  return (slab.offset[0] + row) * tensor.global_shape[1] + slab.offset[1];
}

struct Filling {
  Initial initial;
  std::uint64_t key;  // depends on seed and tensor name
  double deviation;

  float at(std::int64_t index) const {
    if (initial != Initial::normal) return initial == Initial::ones ? 1.0f : 0.0f;
    return static_cast<float>(deviation * normal(key, static_cast<std::uint64_t>(index)));
  }
};

// Fills a buffer in host memory and copies it, because the rows may be on a device.
void fill(const Stream& stream, const LogicalTensor& tensor, const Hyperslab& slab,
          const Filling& filling, Tensor rows) {
  constexpr std::int64_t elements_at_once = 1 << 20;
  const std::int64_t columns = rows.dims() == 2 ? rows.dim(1) : 1;
  const std::int64_t rows_at_once = std::max<std::int64_t>(1, elements_at_once / columns);
  std::vector<float> buffer;
  for (std::int64_t begin = 0; begin < rows.dim(0); begin += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, rows.dim(0) - begin);
    buffer.resize(static_cast<std::size_t>(count * columns));
    float* const data = buffer.data();
#pragma omp parallel for num_threads(stream.threads())
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t start = global_row_start(tensor, slab, begin + row);
      for (std::int64_t column = 0; column < columns; ++column) {
        data[row * columns + column] = filling.at(start + column);
      }
    }
    const Tensor part = rows.slice(0, begin, count);
    copy(stream, Tensor(data, part.shape(), DType::f32, Device::cpu), part);
  }
}

Shape owned_shape(const ParameterSpec& spec) {
  Shape shape = spec.shape;
  shape[0] = spec.owned.count;
  return shape;
}

// Adds a tensor to `bytes` and returns its offset.
std::int64_t append(std::int64_t& bytes, const Shape& shape, DType dtype) {
  return std::exchange(bytes, bytes + Arena::footprint(shape, dtype));
}

// Adds the gradients of the parameters that are partial, or of the others.
void append_gradients(ParameterLayout& layout, const std::vector<ParameterSpec>& specs,
                      bool partial) {
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].partial != partial) continue;
    layout.parameters[i].gradient = append(layout.memory.gradients, specs[i].shape, DType::f32);
  }
}

}  // namespace

OwnedPart owned_part(const ParameterSpec& spec, const LogicalTensor& tensor) {
  const ShardRange owned = spec.owned;
  const std::int64_t last = tensor.first_row + tensor.slab.shape[0];
  const std::int64_t begin = std::clamp(owned.begin, tensor.first_row, last);
  const std::int64_t end = std::clamp(owned.begin + owned.count, begin, last);
  OwnedPart part{.slab = tensor.slab};
  part.slab.offset[0] += begin - tensor.first_row;
  part.slab.shape[0] = end - begin;
  if (end > begin) part.first_row = begin - owned.begin;
  return part;
}

Tensor Parameter::rows(const Tensor& stored, const LogicalTensor& tensor) const {
  return stored.slice(0, tensor.first_row, tensor.slab.shape[0]);
}

Tensor Parameter::owned(const Tensor& stored) const {
  return stored.slice(0, spec.owned.begin, spec.owned.count);
}

Tensor Parameter::owned_rows(const Tensor& stored, const LogicalTensor& tensor) const {
  const OwnedPart part = owned_part(spec, tensor);
  return stored.slice(0, part.first_row, part.slab.shape[0]);
}

ParameterLayout lay_out_parameters(const std::vector<ParameterSpec>& specs, DType dtype,
                                   Purpose purpose) {
  const bool training = purpose == Purpose::training;
  ParameterLayout layout;
  ParameterMemory& memory = layout.memory;
  for (const ParameterSpec& spec : specs) {
    ParameterLayout::Offsets& at = layout.parameters.emplace_back();
    const Shape owned = training ? owned_shape(spec) : spec.shape;
    at.value = append(memory.values, spec.shape, dtype);
    if (dtype != DType::f32) at.master = append(memory.masters, owned, DType::f32);
    if (!training) continue;
    at.m = append(memory.moments, owned, DType::f32);
    at.v = append(memory.moments, owned, DType::f32);
  }
  if (!training) return layout;
  layout.squared_norm = append(memory.moments, {1}, DType::f64);
  layout.clip_factor = append(memory.moments, {1}, DType::f32);
  append_gradients(layout, specs, true);
  layout.partial_gradients = memory.gradients;
  append_gradients(layout, specs, false);
  return layout;
}

std::int64_t checkpoint_memory(const std::vector<ParameterSpec>& specs, Purpose purpose) {
  const bool training = purpose == Purpose::training;
  std::int64_t saved = 0, largest = 0;
  for (const auto& spec : specs) {
    for (const LogicalTensor& tensor : spec.tensors) {
      const Shape loaded(training ? owned_part(spec, tensor).slab.shape : tensor.slab.shape);
      largest = std::max(largest, loaded.elements() * size_of(DType::f32));
      if (training && spec.primary) saved += 3 * Arena::footprint(loaded, DType::f32);
    }
  }
  return std::max(saved, largest);
}

ParameterSet::ParameterSet(Device device, std::vector<ParameterSpec> specs, DType dtype,
                           Purpose purpose) {
  const bool training = purpose == Purpose::training;
  const ParameterLayout layout = lay_out_parameters(specs, dtype, purpose);
  values_ = Arena(device, layout.memory.values);
  masters_ = Arena(device, layout.memory.masters);
  gradients_ = Arena(device, layout.memory.gradients);
  moments_ = Arena(device, layout.memory.moments);
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const ParameterLayout::Offsets& at = layout.parameters[i];
    Parameter& parameter = parameters_.emplace_back();
    ParameterSpec& spec = parameter.spec = std::move(specs[i]);
    if (!training) spec.owned = {0, spec.shape[0]};
    const Shape owned = owned_shape(spec);
    parameter.value = values_.at(at.value, spec.shape, dtype);
    parameter.master = dtype == DType::f32 ? parameter.owned(parameter.value)
                                           : masters_.at(at.master, owned, DType::f32);
    if (!training) continue;
    parameter.gradient = gradients_.at(at.gradient, spec.shape, DType::f32);
    parameter.m = moments_.at(at.m, owned, DType::f32);
    parameter.v = moments_.at(at.v, owned, DType::f32);
  }
  const auto gradients = [&](std::int64_t bytes) {
    return gradients_.at(0, {bytes / size_of(DType::f32)}, DType::f32);
  };
  all_gradients_ = gradients(layout.memory.gradients);
  if (!training) return;
  partial_gradients_ = gradients(layout.partial_gradients);
  squared_norm_ = moments_.at(layout.squared_norm, {1}, DType::f64);
  clip_factor_ = moments_.at(layout.clip_factor, {1}, DType::f32);
}

void ParameterSet::initialise(const Stream& stream, std::uint64_t seed, double deviation) {
  for (const Parameter& parameter : parameters_) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      const Filling filling{parameter.spec.initial, mix(seed, tensor.name), deviation};
      fill(stream, tensor, owned_part(parameter.spec, tensor).slab, filling,
           parameter.owned_rows(parameter.master, tensor));
    }
  }
}

ParameterId ParameterRegistry::split_rows(const std::vector<std::string>& names,
                                          std::vector<std::int64_t> shape, Initial initial,
                                          std::int64_t padded_rows) {
  const ShardRange part =
      equal_shard_range(std::max(padded_rows, shape[0]), mesh_.tensor, at_.tensor);
  ParameterSpec spec;
  spec.initial = initial;
  for (const std::string& name : names) {
    Hyperslab slab = whole(shape);
    slab.offset[0] = std::min(part.begin, shape[0]);
    slab.shape[0] = std::min(part.begin + part.count, shape[0]) - slab.offset[0];
    const auto stacked = static_cast<std::int64_t>(spec.tensors.size()) * part.count;
    spec.tensors.push_back({name, shape, slab, stacked});
  }
  std::vector<std::int64_t> stored = shape;
  stored[0] = part.count * std::ssize(names);
  spec.shape = Shape(stored);
  return add(std::move(spec), true);
}

ParameterId ParameterRegistry::split_columns(const std::string& name,
                                             std::vector<std::int64_t> shape) {
  const ShardRange part = equal_shard_range(shape[1], mesh_.tensor, at_.tensor);
  ParameterSpec spec;
  spec.initial = Initial::normal;
  spec.shape = {shape[0], part.count};
  spec.tensors.push_back({name, shape, {{0, part.begin}, {shape[0], part.count}}, 0});
  return add(std::move(spec), true);
}

ParameterId ParameterRegistry::replicated(const std::string& name, std::vector<std::int64_t> shape,
                                          Initial initial) {
  ParameterSpec spec;
  spec.initial = initial;
  spec.shape = Shape(shape);
  spec.tensors.push_back({name, shape, whole(shape), 0});
  return add(std::move(spec), false);
}

ParameterId ParameterRegistry::add(ParameterSpec spec, bool split) {
  spec.decay = spec.shape.dims() > 1;
  spec.owned = shard_range(spec.shape[0], mesh_.replicas(), mesh_.replica(at_));
  spec.primary = split || at_.tensor == 0;
  specs_.push_back(std::move(spec));
  return specs_.size() - 1;
}

}  // namespace masformer
