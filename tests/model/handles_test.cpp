// A stage frees everything that it holds: arenas, groups, the messages of its sums. It is made, run
// for a step and destroyed many times, after which nothing may be left.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/has_bf16.h"
#include "tests/support/layout.h"
#include "tests/support/nothing_kept.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

// A model of a few kilobytes.
LayoutCase tiny(const Mesh& mesh, DType dtype) {
  return {.mesh = mesh,
          .samples = 4,
          .sequence = 9,
          .hidden = 16,
          .heads = 2,
          .spans = "full,window:5",
          .dtype = dtype};
}

std::vector<LayoutCase> cases() {
  const int n = world().size();
  std::vector<LayoutCase> all;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Mesh& mesh : {Mesh{.tensor = n}, Mesh{.pipe = n}, Mesh{.data = n}}) {
      all.push_back(tiny(mesh, dtype));
    }
  }
  drop_bf16_unless_possible(all);
  return all;
}

// Ends while the weights are still on their way to other ranks.
void train_one_step(const LayoutCase& c) {
  LayoutRun run = over_all_ranks(c);
  run.forward_backward(0);
  run.update_weights(0);
}

TEST(StageHandles, AreAllFreed) {
  const auto all = cases();
  expect_nothing_kept(
      [&](int i) { train_one_step(all[static_cast<std::size_t>(i) % all.size()]); });
}

}  // namespace
}  // namespace masformer::test
