// What attention by heads refuses, and its messages; layout_test.cpp compares its results.
#include "model/layers/head_attention.h"

#include <gtest/gtest.h>

#include "parallel/comm/staged/communicator.h"
#include "tests/support/refusal.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

constexpr std::int64_t sequence = 48, head_dim = 8;

struct Made {
  ModelConfig config;
  ParameterRegistry registry{Mesh{}, {}};
  std::vector<BufferSpec> buffers;
  std::int64_t workspace = 0;

  HeadAttention attention(const SequenceSharding& sharding, std::int64_t heads, int rank = 0) {
    LayerSetup setup{.config = config,
                     .place = {0, 1, true},
                     .shape = {1, sharding.rows()},
                     .context = {sharding, rank, ContextFull::heads},
                     .parameters = registry,
                     .buffers = {0, DType::f32, buffers},
                     .workspace = workspace};
    return {setup, {Span{}, 1, heads, heads, head_dim}};
  }
};

TEST(HeadAttention, RefusesHeadsThatTheRanksDontDivide) {
  EXPECT_EQ(error_of([] { Made().attention(SequenceSharding::contiguous(sequence, 4), 6); }),
            "4 context ranks don't divide 6 heads");
}

// With S = 12 rows, P = 4 ranks and w = 16 columns, one segment goes out and one comes in at a
// time, of 3 w columns in one exchange and of w in the next. In zigzag, ranks 0, 1 and 2 have two
// segments of half the rows each; those of rank 3 touch in the middle of the sequence, so they are
// one.
TEST(HeadAttention, KnowsItsMessages) {
  constexpr std::int64_t row = 16 * 4;
  const auto memory = staged_message_memory;
  EXPECT_EQ(Made().attention(SequenceSharding::contiguous(sequence, 4), 8).message_sizes(),
            (MessageSizes{{memory(12 * row), 2}, {memory(12 * 3 * row), 2}}));
  EXPECT_EQ(Made().attention(SequenceSharding::zigzag(sequence, 4), 8).message_sizes(),
            (MessageSizes{{memory(6 * row), 4},
                          {memory(12 * row), 1},
                          {memory(6 * 3 * row), 4},
                          {memory(12 * 3 * row), 1}}));
}

}  // namespace
}  // namespace masformer::test
