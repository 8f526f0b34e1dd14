// Compares layouts with the fixtures of tests/golden, an implementation that shares no code with
// the program: the loss and every gradient, with the sequence split over the ranks above all. In
// bf16 the program may be off by its rounding.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/context/context_order.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "tests/support/golden_model.h"
#include "tests/support/has_bf16.h"
#include "tests/support/layout_comparison.h"
#include "tests/support/single_rank.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

struct Layout {
  Mesh mesh;
  ContextOrder order = ContextOrder::contiguous;
};

std::ostream& operator<<(std::ostream& out, const Layout& layout) {
  return out << layout.mesh.to_string() << ", " << name_of(layout.order);
}

// The layouts of this many ranks.
std::vector<Layout> layouts() {
  const int ranks = world().size();
  if (ranks == 1) return {{}};
  std::vector<Layout> all{{{.tensor = ranks}}};
  for (const ContextOrder order : {ContextOrder::contiguous, ContextOrder::zigzag}) {
    all.push_back({{.context = ranks}, order});
    if (ranks == 4) all.push_back({{.context = 2, .tensor = 2}, order});
    if (ranks == 4) all.push_back({{.pipe = 2, .context = 2}, order});
  }
  return all;
}

// Sharded sequences are cut into equal parts.
bool fits(const GoldenCase& golden, const Layout& layout) {
  const Mesh& mesh = layout.mesh;
  const int parts = mesh.context * (layout.order == ContextOrder::zigzag ? 2 : 1);
  return violations(config_of(golden), mesh).empty() && golden.sequence % parts == 0;
}

std::map<std::string, GlobalTensor> global(const std::map<std::string, NamedArray>& arrays) {
  std::map<std::string, GlobalTensor> all;
  for (const auto& [name, array] : arrays) {
    all[name] = {array.shape.size() == 2 ? array.shape[1] : 1, array.values};
  }
  return all;
}

// One rank of a layout that trains on the fixture's batch.
class GoldenRun {
 public:
  GoldenRun(const GoldenCase& golden, const Layout& layout, DType dtype)
      : golden_(golden),
        config_(config_of(golden)),
        groups_(groups_of_all_ranks(stream_, layout.mesh)),
        under_test_(
            config_, layout.mesh, groups_.at, even_partition(config_.layers(), layout.mesh.pipe),
            {.shape = {golden.batch, golden.sequence},
             .sharding = make_sharding(layout.order, golden.sequence, layout.mesh.context, {}, 1),
             .dtype = dtype},
            gpipe(layout.mesh.pipe, 1), stream_, groups_) {
    set_weights();
    feed();
    stage().begin_training(golden_.batch * golden_.sequence);
    execute(stream_, under_test_.training, *groups_.pipe, stage());
    stage().sync().finish_reduction();
  }

  // Mean over all tokens of the batch, in nats.
  double loss() {
    const double own = groups_.at.tensor == 0 ? stage().loss_sum() : 0.0;
    return sum_over(*groups_.world, own) / double(golden_.batch * golden_.sequence);
  }
  const ParameterSet& parameters() { return stage().parameters(); }

 private:
  Stage& stage() { return under_test_.stage; }

  void set_weights() {
    const auto weights = global(golden_.weights);
    for (const Parameter& parameter : stage().parameters()) {
      for (const LogicalTensor& tensor : parameter.spec.tensors) {
        const Floats own = weights.at(tensor.name).part(owned_part(parameter.spec, tensor).slab);
        set(parameter.owned_rows(parameter.master, tensor),
            [&](std::int64_t i) { return own[static_cast<std::size_t>(i)]; });
      }
    }
    stage().sync().start_all_gathers();
  }

  void feed() {
    const SequenceSharding& sharding = stage().spec().sharding;
    std::vector<std::int32_t> tokens, labels, positions;
    for (std::int64_t sample = 0; sample < golden_.batch; ++sample) {
      for (std::int64_t row = 0; row < sharding.rows(); ++row) {
        const std::int64_t position = sharding.position(groups_.at.context, row);
        const auto at = static_cast<std::size_t>(sample * golden_.sequence + position);
        tokens.push_back(golden_.tokens[at]);
        labels.push_back(golden_.labels[at]);
        positions.push_back(static_cast<std::int32_t>(position));
      }
    }
    stage().set_micro_batch(0, {tokens.data(), labels.data(), positions.data()});
  }

  const GoldenCase& golden_;
  ModelConfig config_;
  Stream stream_{device(), 1, world().rank()};
  ProcessGroups groups_;
  StageUnderTest under_test_;
};

// The loss relative to the fixture's, and every gradient by norm.
void expect_fixtures(DType dtype, double loss_bound, double gradient_bound) {
  int compared = 0;
  for (const char* const file : golden_files) {
    const GoldenCase golden = read_golden(file);
    for (const Layout& layout : layouts()) {
      if (!fits(golden, layout)) continue;
      SCOPED_TRACE(testing::Message() << file << ", " << layout);
      GoldenRun run(golden, layout, dtype);
      EXPECT_NEAR(run.loss() / golden.loss, 1, loss_bound);
      for (const std::string& difference : differences_of_owned_rows(
               run.parameters(), What::gradient, global(golden.gradients), gradient_bound)) {
        ADD_FAILURE() << difference;
      }
      ++compared;
    }
  }
  EXPECT_GT(compared, 5);
}

TEST(GoldenLayout, ComputesTheLossAndEveryGradient) {
  expect_fixtures(DType::f32, 5e-7, 5e-6);
}

// The largest differences that were seen are 2.2% of a gradient's norm.
TEST(GoldenLayout, ComputesThemInBf16UpToItsRounding) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  expect_fixtures(DType::bf16, 1e-3, 3e-2);
}

}  // namespace
}  // namespace masformer::test
