#include "tests/support/one_rank_record.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <list>
#include <utility>

#include <nlohmann/json.hpp>

#include "parallel/comm/collective_errors.h"

namespace masformer::test {

// The numbers are sent as bytes: as JSON numbers, they would take longer than computing them.
void to_json(nlohmann::json& json, const GlobalTensor& tensor) {
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(tensor.numbers.data());
  json = {tensor.columns,
          nlohmann::json::binary({begin, begin + tensor.numbers.size() * sizeof(float)})};
}

void from_json(const nlohmann::json& json, GlobalTensor& tensor) {
  const nlohmann::json::binary_t& bytes = json[1].get_binary();
  tensor.columns = json[0];
  tensor.numbers.resize(bytes.size() / sizeof(float));
  std::memcpy(tensor.numbers.data(), bytes.data(), bytes.size());
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OneRankRecord, masters, gradients, norm, losses, evaluation)

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

struct Key {
  LayoutCase of_one_rank;
  bool nudged;

  bool operator==(const Key&) const = default;
};

// A list, so that references to records remain valid.
std::list<std::pair<Key, OneRankRecord>>& records() {
  static std::list<std::pair<Key, OneRankRecord>> all;
  return all;
}

const OneRankRecord* known_record(const Key& wanted) {
  const auto found =
      std::ranges::find(records(), wanted, [](const auto& each) { return each.first; });
  return found == records().end() ? nullptr : &found->second;
}

// Without those that are known.
std::vector<Key> keys_of(const std::vector<LayoutCase>& cases) {
  std::vector<Key> keys;
  for (const LayoutCase& c : cases) {
    Key key{of_one_rank(c), false};
    for (const DType dtype : {DType::f32, c.dtype}) {
      key.of_one_rank.dtype = dtype;
      if (known_record(key) == nullptr && std::ranges::count(keys, key) == 0) keys.push_back(key);
    }
  }
  return keys;
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
  const Key wanted{of_one_rank(c), nudged};
  if (const OneRankRecord* const known = known_record(wanted)) return *known;
  return records().emplace_back(wanted, record(wanted.of_one_rank, nudged)).second;
}

void share_one_rank_records(const std::vector<LayoutCase>& cases) {
  const std::vector<Key> keys = keys_of(cases);
  const auto rank = static_cast<std::size_t>(world().rank());
  const auto ranks = static_cast<std::size_t>(world().size());
  const std::string packed = run_collectively(world(), [&] {
    std::vector<OneRankRecord> own;
    for (std::size_t i = rank; i < keys.size(); i += ranks) {
      own.push_back(record(keys[i].of_one_rank, keys[i].nudged));
    }
    std::string bytes;
    nlohmann::json::to_msgpack(own, bytes);
    return bytes;
  });
  const std::vector<std::string> all = world().all_gather(packed);
  for (std::size_t from = 0; from < ranks; ++from) {
    std::size_t i = from;
    for (const nlohmann::json& each : nlohmann::json::from_msgpack(all[from])) {
      records().emplace_back(keys[i], each.get<OneRankRecord>());
      i += ranks;
    }
  }
}

}  // namespace masformer::test
