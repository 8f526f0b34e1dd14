// Which sharding the context ranks use: chosen by what each layer's mask costs its slowest rank.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "parallel/context/head_exchange.h"
#include "parallel/context/sequence_sharding.h"
#include "runtime/enum_names.h"
#include "runtime/span.h"
#include "runtime/tensor.h"

namespace masformer {

#define MASFORMER_CONTEXT_ORDERS(VALUE) VALUE(contiguous, "contiguous") VALUE(zigzag, "zigzag")
MASFORMER_NAMED_ENUM(ContextOrder, MASFORMER_CONTEXT_ORDERS);
#undef MASFORMER_CONTEXT_ORDERS

// An attention layer, as far as the order of tokens matters to it.
struct ContextLayer {
  Span span;
  ContextFull full = ContextFull::ring;  // how it is shared if its span is full

  bool operator==(const ContextLayer&) const = default;
};

// The layers with these spans.
std::vector<ContextLayer> context_layers(const std::vector<Span>& spans, ContextFull full);

// What one rank does in the attention of one layer, for one sequence.
struct ContextWork {
  std::int64_t pairs = 0;     // visible (query, key) pairs, each for all heads
  std::int64_t received = 0;  // rows of keys and values, or as many elements

  // In pairs, of which a rank computes `pairs_per_row` while a row arrives. Both count, although
  // they overlap, since how much overlaps depends on the step.
  double cost(double pairs_per_row) const {
    return static_cast<double>(pairs) + pairs_per_row * static_cast<double>(received);
  }
};

// By heads, it is the same on each rank whatever the sharding.
ContextWork work_of(const SequenceSharding& sharding, const ContextLayer& layer, int rank);

// The sum over `layers` of each layer's slowest rank: ranks wait for each other in every layer.
double cost_of(const SequenceSharding& sharding, const std::vector<ContextLayer>& layers,
               double pairs_per_row);

// Throws UsageError that names the nearest sequences that the order divides (none: contiguous), if
// it does not divide this one.
void require_divisible(std::optional<ContextOrder> order, std::int64_t sequence, int ranks);

// The sharding of this order. With none, a sharding in which the slowest of the stages, whose
// layers are `stages[stage]`, costs least: contiguous, zigzag, or the best that swapping chunks
// between ranks leads to. Throws UsageError as require_divisible() does.
SequenceSharding make_sharding(std::optional<ContextOrder> order, std::int64_t sequence, int ranks,
                               const std::vector<std::vector<ContextLayer>>& stages,
                               double pairs_per_row);

// The results of make_sharding() so far, for whoever plans many layouts: most ask for the same.
class ShardingCache {
 public:
  const SequenceSharding& get(std::optional<ContextOrder> order, std::int64_t sequence, int ranks,
                              const std::vector<std::vector<ContextLayer>>& stages,
                              double pairs_per_row);

 private:
  std::map<std::string, SequenceSharding> known_;
};

}  // namespace masformer
