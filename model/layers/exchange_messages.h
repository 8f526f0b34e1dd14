// The messages that the exchange of an attention layer has on their way at once, for the memory
// that staging them takes (parallel/comm/staged/communicator.h).
#pragma once

#include <cstdint>

#include "model/layers/layer.h"
#include "parallel/context/exchange_plan.h"

namespace masformer {

struct ExchangeMessages {
  const ExchangePlan& plan;  // without documents
  const SequenceSharding& sharding;
  int rank;
  std::int64_t row_elements;  // of the keys and values of a row
  DType dtype;                // of keys and values; their gradients travel in fp32
  bool document_mask;         // whether batches divide the messages at borders of documents
};

// An upper bound: the rows of a step and of the next one, and the gradients of the step and of the
// one before.
MessageSizes exchange_message_sizes(const ExchangeMessages& exchange);

}  // namespace masformer
