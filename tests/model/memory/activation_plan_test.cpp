// The plan of a stage's activations: buffers that are needed at the same time do not overlap.
#include "model/memory/activation_plan.h"

#include <gtest/gtest.h>

#include "model/stage.h"
#include "parallel/context/context_order.h"
#include "runtime/arena.h"
#include "tests/support/schedules.h"
#include "tests/support/single_rank.h"

namespace masformer {
namespace {

ModelConfig small_model(int layers = 5) {
  return {.hidden = 32,
          .vocab = 101,
          .positions = 24,
          .blocks =
              blocks_of_spans(parse_spans(layers == 5 ? "full*2,window:4*3" : "full*2,window:4*6"),
                              {.heads = 4}, GeluMlpSpec{80})};
}

// With `recompute`, blocks of a stage differ in what they recompute.
StagePolicy policy(bool recompute) {
  StagePolicy policy{.shape = {2, 24}};
  if (recompute) {
    policy.recompute =
        parse_recompute("block,selective,none,block,selective,none,selective,block", 8);
  }
  return policy;
}

struct Occupied {
  std::int64_t begin, end;           // bytes
  std::int64_t first_use, last_use;  // points, counted over all actions
};

// Where and when each buffer is needed, computed from the specifications alone.
class Occupation {
 public:
  Occupation(const StageSpec& stage, const std::vector<Action>& actions, const ActivationPlan& plan,
             bool evaluation)
      : open_(64, std::vector<std::size_t>(stage.buffers.size())) {
    std::int64_t time = 0;
    for (const Action& action : actions) {
      for (const ProgramPoint& point : stage.program.points(action.kind, action.chunk)) {
        ++time;
        for (BufferId id = 0; id < stage.buffers.size(); ++id) {
          const BufferSpec& buffer = stage.buffers[id];
          const std::int64_t offset = plan.offset(action.kind, action.micro_batch, id);
          const auto batch = static_cast<std::size_t>(action.micro_batch);
          std::size_t& slot = open_[batch][id];
          if (begins(buffer, point, evaluation)) {
            EXPECT_GE(offset, 0);
            slot = all_.size();
            const std::int64_t bytes = Arena::footprint(buffer.shape, buffer.dtype);
            all_.push_back({offset, offset + bytes, time, time});
          }
          if (ends(buffer, point, evaluation)) all_[slot].last_use = time;
        }
      }
    }
  }

  const std::vector<Occupied>& all() const { return all_; }

 private:
  static bool begins(const BufferSpec& buffer, const ProgramPoint& point, bool evaluation) {
    if (point.layer != buffer.first_use.layer) return false;
    if (point.pass == Pass::recompute && buffer.recomputed) return true;
    if (evaluation) return buffer.evaluated || buffer.first_use.pass == Pass::forward;
    return point.pass == buffer.first_use.pass;
  }
  static bool ends(const BufferSpec& buffer, const ProgramPoint& point, bool evaluation) {
    const bool scratch = buffer.last_use.pass == Pass::forward;
    const bool in_forward = evaluation || scratch || buffer.recomputed;
    if (point.pass == Pass::forward) {
      const bool evaluated = evaluation && buffer.evaluated;
      const int last = evaluated ? buffer.first_use.layer : buffer.last_forward_layer;
      return in_forward && point.layer == last &&
             (evaluated || buffer.first_use.pass == Pass::forward);
    }
    if (point.pass == Pass::recompute) {
      return buffer.recomputed && scratch && point.layer == buffer.first_use.layer;
    }
    return point == buffer.last_use;
  }

  std::vector<std::vector<std::size_t>> open_;  // [micro-batch][buffer]: its index in all_
  std::vector<Occupied> all_;
};

void expect_apart(const std::vector<Occupied>& all, std::int64_t peak) {
  std::int64_t highest = 0;
  for (std::size_t a = 0; a < all.size(); ++a) {
    highest = std::max(highest, all[a].end);
    for (std::size_t b = 0; b < a; ++b) {
      const bool together =
          all[a].first_use <= all[b].last_use && all[b].first_use <= all[a].last_use;
      const bool overlap = all[a].begin < all[b].end && all[b].begin < all[a].end;
      ASSERT_FALSE(together && overlap);
    }
  }
  EXPECT_EQ(peak, highest);
}

TEST(ActivationPlan, NeverOverlapsBuffersThatAreNeededAtOnce) {
  std::vector<std::string> names = schedule_names();
  names.insert(names.end(), {"two chunks", "v"});
  for (const std::string& name : names) {
    for (const int stages : {1, 2, 4}) {
      const Schedule training = test::schedule_named(name, stages, 6);
      const Schedule evaluation = forward_only(training.placement, 6);
      const Mesh mesh{.pipe = stages, .tensor = stages == 2 ? 2 : 1};
      const Partition partition = even_partition(8, training.placement.parts());
      for (int pipe = 0; pipe < stages; ++pipe) {
        for (const bool recompute : {false, true}) {
          for (const Schedule& schedule : {training, evaluation}) {
            SCOPED_TRACE(testing::Message() << name << " stage " << pipe << " of " << stages);
            const StageSpec stage(small_model(8), mesh, {.pipe = pipe}, partition,
                                  policy(recompute), training.placement);
            const auto& actions = schedule.actions[static_cast<std::size_t>(pipe)];
            const ActivationPlan plan(stage.buffers, stage.program, 6, actions);
            expect_apart(Occupation(stage, actions, plan, is_evaluation(schedule)).all(),
                         plan.peak());
          }
        }
      }
    }
  }
}

// The executor receives a gradient before it starts the action, which begins with recomputation.
TEST(ActivationPlan, HoldsAReceivedGradientFromTheStartOfItsAction) {
  for (const char* const recompute : {"none", "selective", "block"}) {
    StagePolicy policy{.shape = {2, 24}};
    policy.recompute = parse_recompute(recompute, 5);
    const StageSpec stage(small_model(), Mesh{.pipe = 2}, {}, {{0, 3}, {3, 5}}, policy);
    const BufferId gradient = stage.chunks.front().gradient.back().value();
    EXPECT_EQ(stage.buffers[gradient].first_use, stage.program.points(ActionKind::backward).front())
        << recompute;
  }
}

TEST(ActivationPlan, TakesLessMemoryFor1F1BThanForGpipe) {
  const Mesh mesh{.pipe = 2};
  const StageSpec stage(small_model(), mesh, {.pipe = 1}, {{0, 3}, {3, 5}}, policy(false));
  const ActivationPlan all_forwards(stage.buffers, stage.program, 8, gpipe(2, 8).actions[1]);
  const ActivationPlan alternating(stage.buffers, stage.program, 8,
                                   one_forward_one_backward(2, 8).actions[1]);
  EXPECT_LT(alternating.peak() * 3, all_forwards.peak());
}

// What waits for weight gradients takes somewhat more than what waits for input gradients.
TEST(ActivationPlan, TakesOnEachStageOfZeroBubbleAboutWhat1F1BTakesOnTheFirst) {
  constexpr int stages = 4, micro_batches = 8;
  const Mesh mesh{.pipe = stages};
  const Partition partition = even_partition(8, stages);
  const auto peak = [&](const Schedule& schedule, int pipe) {
    const StageSpec stage(small_model(8), mesh, {.pipe = pipe}, partition, policy(false));
    return static_cast<double>(ActivationPlan(stage.buffers, stage.program, micro_batches,
                                              schedule.actions[static_cast<std::size_t>(pipe)])
                                   .peak());
  };
  const double first = peak(one_forward_one_backward(stages, micro_batches), 0);
  for (int pipe = 0; pipe < stages; ++pipe) {
    const double ratio = peak(zero_bubble(stages, micro_batches), pipe) / first;
    EXPECT_GT(ratio, 0.9) << pipe;
    EXPECT_LT(ratio, 1.25) << pipe;
  }
}

// With the same number of tokens per rank, a rank holds the same whatever the sequence is.
TEST(ActivationPlan, DoesNotGrowWithTheContextRanks) {
  constexpr std::int64_t rows = 256;
  const ModelConfig model{
      .hidden = 64,
      .vocab = 101,
      .positions = 8 * rows,
      .blocks = blocks_of_spans(parse_spans("full*3,window:64*5,window:600*2,block:100*2"),
                                {.heads = 8}, GeluMlpSpec{256})};
  for (const auto& [order, full] : {std::pair{ContextOrder::contiguous, ContextFull::ring},
                                    {ContextOrder::zigzag, ContextFull::ring},
                                    {ContextOrder::zigzag, ContextFull::heads}}) {
    const auto largest = [&, order = order, full = full](int ranks) {
      const Schedule schedule = one_forward_one_backward(1, 2);
      std::int64_t peak = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const StagePolicy policy{.shape = {1, rows * ranks},
                                 .sharding = make_sharding(order, rows * ranks, ranks, {}, 1),
                                 .context_full = full};
        const StageSpec stage(model, {.context = ranks}, {.context = rank}, {{0, 12}}, policy);
        peak = std::max(
            peak, ActivationPlan(stage.buffers, stage.program, 2, schedule.actions[0]).peak());
      }
      return static_cast<double>(peak);
    };
    for (const int ranks : {4, 8}) {
      EXPECT_NEAR(largest(ranks) / largest(2), 1, 0.05)
          << name_of(order) << ", full layers by " << name_of(full) << ", " << ranks << " ranks";
    }
  }
}

// GPipe keeps all micro-batches, so one more costs what the blocks keep from forward to backward,
// plus the gaps that first fit leaves.
TEST(ActivationPlan, KeepsWhatTheRecomputationPolicyOfABlockSays) {
  const ModelConfig model = small_model();
  const std::int64_t tokens = 48;
  const std::int64_t hidden = model.hidden, heads = 4, ffn = 80;
  const std::int64_t per_token_none =
      // two norms and their statistics, two inputs, qkv, attended, lse, before and after GELU
      2 * (hidden + 2) + 2 * hidden + 3 * hidden + hidden + heads + 2 * ffn;
  const std::int64_t per_token_selective =
      per_token_none - hidden - heads - ffn;                          // attended, lse, after GELU
  const std::int64_t per_token_block = hidden;                        // its input
  const std::int64_t per_token_by_blocks = per_token_none - 2 * ffn;  // before and after GELU
  const auto kept = [&](const char* recompute, std::int64_t ffn_block, int micro_batches) {
    StagePolicy policy{.shape = {2, 24}, .ffn_block = ffn_block};
    policy.recompute = parse_recompute(recompute, model.layers());
    const StageSpec stage(model, Mesh{.pipe = 2}, {}, {{0, 5}, {5, 5}}, policy);
    return ActivationPlan(stage.buffers, stage.program, micro_batches,
                          gpipe(2, micro_batches).actions[0])
        .peak();
  };
  const auto per_micro_batch = [&](const char* recompute, std::int64_t ffn_block) {
    return kept(recompute, ffn_block, 9) - kept(recompute, ffn_block, 8);
  };
  constexpr std::int64_t size_of_float = 4;
  const std::int64_t output = hidden * tokens * size_of_float;  // until the next stage has it
  const auto expected = [&](std::int64_t per_token) {
    return model.layers() * per_token * tokens * size_of_float + output;
  };
  const auto expect_about = [&](const char* recompute, std::int64_t per_token,
                                std::int64_t ffn_block = 0) {
    EXPECT_GE(per_micro_batch(recompute, ffn_block), expected(per_token)) << recompute;
    EXPECT_LE(per_micro_batch(recompute, ffn_block), expected(per_token) * 6 / 5) << recompute;
  };
  expect_about("none", per_token_none);
  expect_about("selective", per_token_selective);
  expect_about("block", per_token_block);
  expect_about("none", per_token_by_blocks, 8);
}

// By blocks of N rows, MLPs take 3 N ffn numbers at any time instead of 3 T ffn, whatever is
// recomputed: before and after GELU, and the gradient of the first. So the peak falls by about
// 3 (T - N) ffn numbers where the MLP of a recomputed block is what takes most, and by 2 T ffn per
// block more where these are kept.
TEST(ActivationPlan, HoldsTheMlpsInnerActivationsOfOneBlockOfRows) {
  constexpr std::int64_t rows = 256, block = 32, hidden = 64, ffn = 512, layers = 6;
  const ModelConfig model{
      .hidden = hidden,
      .vocab = 101,
      .positions = rows,
      .blocks = blocks_of_spans(parse_spans("full*6"), {.heads = 4}, GeluMlpSpec{ffn})};
  const auto peak = [&](const char* recompute, std::int64_t ffn_block) {
    const StagePolicy policy{.shape = {1, rows},
                             .recompute = parse_recompute(recompute, layers),
                             .ffn_block = ffn_block};
    const StageSpec stage(model, {}, {}, {{0, layers}}, policy);
    return ActivationPlan(stage.buffers, stage.program, 1,
                          one_forward_one_backward(1, 1).actions[0])
        .peak();
  };
  constexpr std::int64_t column = ffn * 4;
  for (const auto& [recompute, kept] : {std::pair{"none", 2}, {"selective", 1}, {"block", 0}}) {
    const auto saved =
        static_cast<double>(column * (kept * (layers - 1) * rows + 3 * (rows - block)));
    EXPECT_NEAR(double(peak(recompute, 0) - peak(recompute, block)) / saved, 1, 0.1) << recompute;
    EXPECT_LE(peak(recompute, block), peak(recompute, 0) / 2) << recompute;
    EXPECT_GT(peak(recompute, 2 * block), peak(recompute, block)) << recompute;
  }
}

}  // namespace
}  // namespace masformer
