// Work on a manifest grows about linearly: four times the tensors or pieces take less than eight
// times the processor's time. Quadratic work would take sixteen times.
#include <algorithm>
#include <ctime>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/checkpoint/shard_plan.h"
#include "tests/support/many_tensors.h"
#include "tests/support/synthetic_checkpoint.h"

namespace masformer::test {
namespace {

// The processor time of this process, so that other programs don't count.
double processor_seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 3; ++run) {
    const double begin = now();
    work();
    best = std::min(best, now() - begin);
  }
  return best;
}

// `prepare(size)` returns the work to measure.
void expect_near_linear(int size, const std::function<std::function<void()>(int)>& prepare) {
  double small = 0, large = 1;
  // Other programs use the caches, too, which the larger size needs more: such a time counts for
  // nothing. Quadratic work takes 16 times as long in every try.
  for (int attempt = 0; attempt < 5 && large >= 8 * small; ++attempt) {
    small = processor_seconds(prepare(size));
    large = processor_seconds(prepare(4 * size));
  }
  EXPECT_LT(large, 8 * small) << small << " s for " << size << ", " << large << " s for "
                              << 4 * size;
}

TEST(ManifestGrowth, ReadingTakesNearLinearTimeInTensors) {
  expect_near_linear(2000, [](int tensors) {
    return [text = checkpoint::to_text(many_tensors(tensors))] {
      EXPECT_FALSE(checkpoint::parse_manifest(text).tensors.empty());
    };
  });
}

TEST(ManifestGrowth, WritingTakesNearLinearTimeInTensors) {
  expect_near_linear(2000, [](int tensors) {
    return
        [manifest = many_tensors(tensors)] { EXPECT_FALSE(checkpoint::to_text(manifest).empty()); };
  });
}

TEST(ManifestGrowth, MergingPlansTakesNearLinearTimeInTensors) {
  expect_near_linear(2000, [](int tensors) {
    return [plan = checkpoint::to_text(many_tensors(tensors).tensors)] {
      EXPECT_FALSE(checkpoint::merge_plans({}, {plan}).tensors.empty());
    };
  });
}

// Rows dealt out one by one, all of a tensor in one shard.
TEST(ManifestGrowth, PlanningAShardTakesNearLinearTimeInPieces) {
  expect_near_linear(4000, [](int rows) {
    auto pieces = std::make_shared<SyntheticPieces>();
    for (std::int64_t row = 0; row < rows; ++row) pieces->add("w", {rows, 1}, {{row, 0}, {1, 1}});
    return [pieces] {
      EXPECT_FALSE(checkpoint::plan_shard("shard-00000.h5", pieces->all()).tensors.empty());
    };
  });
}

TEST(ManifestGrowth, CheckingTheCoverTakesNearLinearTimeInPieces) {
  expect_near_linear(20000, [](int rows) {
    StoredTensor tensor{{rows, 4}, {}};
    for (std::int64_t row = 0; row < rows; ++row) {
      tensor.pieces.push_back({"shard-00000.h5", "/w", {{row, 0}, {1, 4}}});
    }
    return [tensor] { EXPECT_EQ(checkpoint::cover_complaint(tensor), ""); };
  });
}

TEST(ShardPlan, NamesDataSetsByTensorAndNumberWhereThatIsTaken) {
  SyntheticPieces pieces;
  const auto row = [&](const std::string& name, std::int64_t at) {
    pieces.add(name, {4, 1}, {{at, 0}, {1, 1}});
  };
  row("w~2", 0), row("w", 0), row("w", 1), row("w", 2), row("w~2", 1), row("w~2", 2);
  EXPECT_EQ(checkpoint::plan_shard("shard-00000.h5", pieces.all()).datasets,
            (std::vector<std::string>{"/w~2", "/w", "/w~3", "/w~4", "/w~2~2", "/w~2~3"}));
}

}  // namespace
}  // namespace masformer::test
