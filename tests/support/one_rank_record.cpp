#include "tests/support/one_rank_record.h"

#include <algorithm>
#include <list>
#include <utility>

namespace masformer::test {
namespace {

std::map<std::string, GlobalTensor> global_tensors(const ParameterSet& parameters, What what) {
  std::map<std::string, GlobalTensor> all;
  for (const Parameter& parameter : parameters) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      const Tensor rows = parameter.rows(owned_rows(parameter, what), tensor);
      all[tensor.name] = {rows.dims() == 2 ? rows.dim(1) : 1, floats(rows)};
    }
  }
  return all;
}

OneRankRecord record(const LayoutCase& c, bool nudged) {
  LayoutRun run = on_one_rank(c);
  if (nudged) run.nudge_weights();
  OneRankRecord made{.masters = global_tensors(run.parameters(), What::master)};
  for (int step = 0; step < c.steps; ++step) {
    run.forward_backward(step);
    made.losses.push_back(run.loss());
    if (step == 0) {
      made.norm = run.norm();
      made.gradients = global_tensors(run.parameters(), What::gradient);
    }
    run.update_weights(step);
  }
  made.evaluation = run.evaluate(c.steps);
  return made;
}

// One rank computes the same for many cases; this is the case that represents them.
LayoutCase of_one_rank(LayoutCase c) {
  const LayoutCase usual;
  c.mesh = Mesh{};
  c.schedule = usual.schedule;
  c.chunks = usual.chunks;
  c.partition = usual.partition;
  c.sequence_parallel = usual.sequence_parallel;
  c.recompute = usual.recompute;
  c.order = usual.order;
  c.ffn_block = usual.ffn_block;
  c.full = usual.full;
  return c;
}

}  // namespace

Tensor owned_rows(const Parameter& parameter, What what) {
  return what == What::master ? parameter.master : parameter.owned(parameter.gradient);
}

Floats floats(const Tensor& contiguous) {
  HostCopy copied(contiguous);
  const auto* const begin = static_cast<const float*>(copied.raw());
  return {begin, begin + contiguous.elements()};
}

Floats GlobalTensor::part(const Hyperslab& slab) const {
  const bool matrix = slab.shape.size() == 2;
  const std::int64_t first = matrix ? slab.offset[1] : 0;
  const std::int64_t count = matrix ? slab.shape[1] : 1;
  Floats rows;
  for (std::int64_t row = slab.offset[0]; row < slab.offset[0] + slab.shape[0]; ++row) {
    const auto begin = numbers.begin() + row * columns + first;
    rows.insert(rows.end(), begin, begin + count);
  }
  return rows;
}

const OneRankRecord& one_rank_record(const LayoutCase& c, bool nudged) {
  using Key = std::pair<LayoutCase, bool>;
  static std::list<std::pair<Key, OneRankRecord>> records;
  const Key wanted{of_one_rank(c), nudged};
  const auto known =
      std::ranges::find(records, wanted, [](const auto& each) { return each.first; });
  if (known != records.end()) return known->second;
  return records.emplace_back(wanted, record(wanted.first, nudged)).second;
}

}  // namespace masformer::test
