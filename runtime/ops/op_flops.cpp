#include "runtime/ops/op_flops.h"

#include <algorithm>

namespace masformer {

std::int64_t visible_pairs(const AttentionMask& mask, std::int64_t queries, std::int64_t keys) {
  std::int64_t pairs = 0;
  for (std::int64_t query = mask.query_offset; query < mask.query_offset + queries; ++query) {
    const std::int64_t begin = std::max(first_visible(mask.span, query), mask.key_offset);
    const std::int64_t end = std::min(query + 1, mask.key_offset + keys);
    pairs += std::max<std::int64_t>(end - begin, 0);
  }
  return pairs;
}

double detail::attention_flops(const Tensor& q, const Tensor& k, const AttentionMask& mask) {
  const std::int64_t pairs = visible_pairs(mask, q.dim(1), k.dim(1));
  return 4.0 * static_cast<double>(q.dim(0) * q.dim(2) * q.dim(3)) * static_cast<double>(pairs);
}

}  // namespace masformer
