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

  HeadAttention attention(const SequenceSharding& sharding, const AttentionGeometry& geometry,
                          DType dtype = DType::f32) {
    LayerSetup setup{.config = config,
                     .place = {0, 1, true},
                     .shape = {1, sharding.rows()},
                     .context = {sharding, 0, ContextFull::heads},
                     .parameters = registry,
                     .buffers = {0, dtype, buffers},
                     .workspace = workspace};
    return {setup, geometry};
  }
  HeadAttention attention(const SequenceSharding& sharding, std::int64_t heads) {
    return attention(sharding, {Span{}, 1, heads, heads, head_dim});
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

// The backward sums dk and dv over the heads that share them: cuDNN keeps both for each head, in
// bf16, of the whole sequence.
TEST(HeadAttention, NeedsMoreWorkspaceIfHeadsShareKeys) {
  const auto workspace = [](std::int64_t key_heads) {
    Made made;
    made.attention(SequenceSharding::contiguous(sequence, 2),
                   {.heads = 8, .key_heads = key_heads, .head_dim = 64}, DType::bf16);
    return made.workspace;
  };
  constexpr std::int64_t rows = 128;  // a tile, of which the sequence fills a part
  EXPECT_GT(workspace(8), 0);
  EXPECT_EQ(workspace(4) - workspace(8), 2 * 4 * rows * 64 * 2);
  EXPECT_EQ(workspace(2), workspace(4));
}

}  // namespace
}  // namespace masformer::test
