#include "model/cost/measured_times.h"

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

StageSpec stage_with(std::vector<Recompute> recompute) {
  const ModelConfig config{
      .hidden = 16,
      .vocab = 32,
      .positions = 8,
      .blocks = blocks_of_spans(parse_spans("full,window:4,full"), {.heads = 2}, GeluMlpSpec{32})};
  return {config, {}, {}, {{0, 3}}, {.shape = {1, 8}, .recompute = std::move(recompute)}};
}

TEST(MeasuredTimes, AreThoseOfTheKindAndOfWhatIsRecomputed) {
  const KindSeconds full{{"forward", 1},
                         {"backward_input", 2},
                         {"backward_weight", 4},
                         {"recompute selective", 8},
                         {"recompute block", 16}};
  const MeasuredTimes times({{"attention full", full}});
  const StageSpec stage = stage_with({Recompute::none, Recompute::selective, Recompute::block});
  EXPECT_EQ(times.of(stage, 1), (PassSeconds{1, 2, 4}));
  EXPECT_EQ(times.of(stage, 5), (PassSeconds{1, 18, 4}));
  EXPECT_EQ(times.of(stage_with(std::vector(3, Recompute::selective)), 1), (PassSeconds{1, 10, 4}));
  EXPECT_THROW(times.of(stage, 3), Error) << "windows were not measured";
}

}  // namespace
}  // namespace masformer
