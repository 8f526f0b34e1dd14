#include "runtime/ops/embedding.h"

#include <gtest/gtest.h>

#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Case {
  std::int64_t tokens, rows, features;
  int threads;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << " ids of " << c.rows << "x" << c.features << ", threads " << c.threads;
}

class Embedding : public testing::TestWithParam<Case> {
 protected:
  const Case c = GetParam();
  const Stream stream{device(), c.threads};
  const OwnedTensor ids =
      integers(c.tokens, [this](std::int64_t t) { return static_cast<std::int64_t>(id(t)); });
  const OwnedTensor table = normals({c.rows, c.features}, 1);
  const Shape matrix = {c.tokens, c.features};

  // The shard of the table of rank `rank` of three; the last shards may have few rows or none.
  Tensor shard(const Tensor& whole, std::int64_t rank) const {
    const std::int64_t begin = std::min(c.rows, first(rank));
    return whole.slice(0, begin, std::min(c.rows, first(rank + 1)) - begin);
  }
  std::int64_t first(std::int64_t rank) const { return rank * ((c.rows + 2) / 3); }
  std::size_t id(std::int64_t t) const {
    return mix(7, static_cast<std::uint64_t>(t)) % static_cast<std::uint64_t>(c.rows);
  }
};

TEST_P(Embedding, WritesOrAddsTheRowsOfIds) {
  Numbers expected;
  const Numbers table_ = values(table);
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    const auto row = table_.begin() + static_cast<std::int64_t>(id(t)) * c.features;
    expected.insert(expected.end(), row, row + c.features);
  }
  const OwnedTensor y = poisoned(matrix);
  embedding(stream, ids, table, 0, false, y);
  EXPECT_EQ(values(y), expected);

  const OwnedTensor start = normals(matrix, 2);
  const Numbers before = values(start);
  embedding(stream, ids, table, 0, true, start);
  EXPECT_LT(difference(start, sum(before, expected)), 1e-7);
}

TEST_P(Embedding, ShardsSumToTheWhole) {
  const OwnedTensor whole = poisoned(matrix);
  Numbers total(static_cast<std::size_t>(c.tokens * c.features));
  embedding(stream, ids, table, 0, false, whole);
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    const OwnedTensor part = poisoned(matrix);
    embedding(stream, ids, shard(table, rank), first(rank), false, part);
    total = sum(total, values(part));
  }
  EXPECT_EQ(total, values(whole));
}

TEST_P(Embedding, BackwardAddsEachTokenToItsRow) {
  const OwnedTensor dy = normals(matrix, 3), dtable = normals({c.rows, c.features}, 4);
  Numbers expected = values(dtable);
  const Numbers dy_ = values(dy);
  for (std::size_t i = 0; i < dy_.size(); ++i) {
    const std::size_t columns = static_cast<std::size_t>(c.features);
    expected[id(static_cast<std::int64_t>(i / columns)) * columns + i % columns] += dy_[i];
  }
  embedding_backward(stream, ids, dy, 0, dtable);
  EXPECT_LT(difference(dtable, expected), 1e-6);

  // Shards, and another number of threads, give the same bits.
  const OwnedTensor sharded = normals({c.rows, c.features}, 4);
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    embedding_backward(Stream(device(), c.threads + 1), ids, dy, first(rank), shard(sharded, rank));
  }
  EXPECT_TRUE(same_bits(dtable, sharded));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Embedding,
                         testing::Values(Case{1, 1, 1, 1}, Case{3, 17, 33, 2}, Case{257, 33, 17, 3},
                                         Case{33, 257, 3, 2}, Case{500, 2, 129, 1},
                                         Case{65, 9, 540, 2}, Case{64, 1, 20, 3},
                                         Case{0, 5, 17, 2}));

}  // namespace
}  // namespace masformer
