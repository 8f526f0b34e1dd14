#include "runtime/backend.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "runtime/ops/dispatch.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

// The CPU's table, and the one of the CUDA plugin.
TEST(Backend, HasAFunctionForEachOp) {
  const Backend& table = backend(device());
#define MASFORMER_EXPECT_OP(op, ...) EXPECT_NE(table.op, nullptr) << #op;
  MASFORMER_OPS(MASFORMER_EXPECT_OP)
#undef MASFORMER_EXPECT_OP
}

TEST(Backend, OpsHaveDistinctNames) {
  const auto names = names_of<Op>();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(name_of(Op::linear_backward_input), "linear_backward_input");
}

TEST(Dispatch, CallsTheOpOfTheTable) {
  const Stream stream(device());
  const OwnedTensor x = normals({3, 5}, 1);
  dispatch<Op::fill_zero>(stream, x);
  EXPECT_EQ(values(x), Numbers(15, 0.0));
}

}  // namespace
}  // namespace masformer::test
