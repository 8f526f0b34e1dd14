// Compares the counted operations of ops with counts by hand.
#include "runtime/ops/op_flops.h"

#include <gtest/gtest.h>

#include "runtime/span.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

std::int64_t count_pairs(const AttentionMask& mask, std::int64_t queries, std::int64_t keys) {
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < keys; ++j) {
      const std::int64_t query = mask.query_offset + i, key = mask.key_offset + j;
      if (key <= query && key >= first_visible(mask.span, query)) ++pairs;
    }
  }
  return pairs;
}

TEST(OpFlops, AttentionCountsVisiblePairs) {
  for (const char* const name : {"full", "window:5", "block:4"}) {
    const Span span = parse_span(name);
    for (const std::int64_t query_offset : {0, 7, 30}) {
      for (const std::int64_t key_offset : {0, 3, 40}) {
        const AttentionMask mask{span, query_offset, key_offset};
        EXPECT_EQ(visible_pairs(mask, 13, 9), count_pairs(mask, 13, 9))
            << name << " " << query_offset << " " << key_offset;
      }
    }
    EXPECT_EQ(visible_pairs({span}, 33, 33), visible_pairs(span, 33)) << name;
  }
  const OwnedTensor q({2, 6, 3, 8}), k({2, 6, 1, 8});
  const double forward = op_flops<Op::attention>(AttentionForward{.q = q, .k = k});
  EXPECT_EQ(forward, 2.0 * 2 * (2 * 3 * 8) * (6 * 7 / 2));
  EXPECT_EQ(op_flops<Op::attention_backward>(AttentionBackward{.q = q, .k = k}), 2 * forward);
}

TEST(OpFlops, ProductsCountTokensInputsAndOutputs) {
  const OwnedTensor x({5, 3}), y({5, 7}), weight({7, 3});
  const double expected = 2 * 5 * 3 * 7;
  EXPECT_EQ((op_flops<Op::linear>(Tensor(x), Tensor(weight), Tensor(), Tensor(y), Tensor())),
            expected);
  EXPECT_EQ((op_flops<Op::linear_backward_input>(Tensor(y), Tensor(weight), Tensor(x))), expected);
  EXPECT_EQ((op_flops<Op::linear_backward_weight>(Tensor(y), Tensor(x), Tensor(weight), Tensor())),
            expected);
  EXPECT_EQ((op_flops<Op::fill_zero>(Tensor(x))), 0);
}

}  // namespace
}  // namespace masformer::test
