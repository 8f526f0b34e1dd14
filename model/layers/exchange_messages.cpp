#include "model/layers/exchange_messages.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "parallel/comm/staged/communicator.h"

namespace masformer {
namespace {

MessageSizes counted(const std::vector<std::int64_t>& bytes) {
  MessageSizes sizes;
  for (const std::int64_t each : bytes) ++sizes[staged_message_memory(each)];
  return sizes;
}

// What documents may make of these messages: smaller ones, and of each one as many as its sender
// and its receiver have pairs of segments.
MessageSizes divided(const std::vector<std::int64_t>& bytes, const SequenceSharding& sharding) {
  std::size_t segments = 0;
  for (int rank = 0; rank < sharding.ranks(); ++rank) {
    segments = std::max(segments, sharding.segments(rank).size());
  }
  const auto messages = static_cast<std::int64_t>(bytes.size() * segments * segments);
  const std::int64_t total = std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
  MessageSizes sizes;
  if (bytes.empty()) return sizes;
  for (std::int64_t size = staged_message_memory(std::ranges::max(bytes));; size /= 2) {
    const bool smallest = size == staged_message_memory(0);
    sizes[size] = static_cast<int>(smallest ? messages : std::min(messages, 2 * total / size));
    if (smallest) return sizes;
  }
}

// Appends the bytes of each message of a step.
void add_messages(const ExchangeMessages& exchange, std::size_t step, DType dtype,
                  std::vector<std::int64_t>& bytes) {
  const auto& steps = exchange.plan.steps;
  if (step == 0 || step >= steps.size()) return;
  const std::int64_t row = exchange.row_elements * size_of(dtype);
  for (const SentRows& sent : steps[step].sends) bytes.push_back(sent.rows.size() * row);
  for (const HeldSegment& held : steps[step].held) {
    if (held.rank != exchange.rank) bytes.push_back(held.rows.size() * row);
  }
}

}  // namespace

MessageSizes exchange_message_sizes(const ExchangeMessages& exchange) {
  MessageSizes most;
  for (std::size_t step = 1; step < exchange.plan.steps.size(); ++step) {
    std::vector<std::int64_t> under_way;
    for (const std::size_t fetched : {step, step + 1}) {
      add_messages(exchange, fetched, exchange.dtype, under_way);
    }
    for (const std::size_t returned : {step - 1, step}) {
      add_messages(exchange, returned, DType::f32, under_way);
    }
    keep_larger(
        most, exchange.document_mask ? divided(under_way, exchange.sharding) : counted(under_way));
  }
  return most;
}

}  // namespace masformer
