// The plan of a stage's memory: no two buffers that live at the same time overlap.
#include "model/activation_plan.h"

#include <gtest/gtest.h>

#include "model/stage.h"
#include "runtime/arena.h"
#include "tests/support/single_rank.h"

namespace masformer {
namespace {

ModelConfig small_model() {
  return {.layers = 5,
          .hidden = 32,
          .heads = 4,
          .ffn = 80,
          .vocab = 101,
          .positions = 24,
          .spans = parse_spans("full*2,window:4*3")};
}

struct Occupied {
  std::int64_t begin, end, born, died;
};

// Every buffer's place and time, from the declarations alone; the moment `died` is its last.
std::vector<Occupied> occupation(const StageDescription& stage, const std::vector<Action>& actions,
                                 const ActivationPlan& plan, bool evaluation) {
  std::vector<Occupied> all;
  std::int64_t time = 0;
  std::vector<std::vector<std::size_t>> open(64, std::vector<std::size_t>(stage.buffers.size()));
  for (const Action& action : actions) {
    for (const Moment& moment : moments(action.kind, stage.depth())) {
      ++time;
      for (BufferId id = 0; id < stage.buffers.size(); ++id) {
        const BufferDeclaration& buffer = stage.buffers[id];
        const bool forward_born = buffer.born.pass == Pass::forward;
        if (evaluation && !forward_born && !buffer.evaluated) continue;
        const Moment evaluated{buffer.born.layer, Pass::forward};
        const Moment born = evaluation ? evaluated : buffer.born;
        const Moment last =
            !evaluation ? buffer.last
                        : Moment{buffer.evaluated ? buffer.born.layer : buffer.last_forward_layer,
                                 Pass::forward};
        auto& slot = open[static_cast<std::size_t>(action.micro_batch)][id];
        if (born == moment) {
          const std::int64_t offset = plan.offset(action.micro_batch, id);
          EXPECT_GE(offset, 0);
          slot = all.size();
          all.push_back(
              {offset, offset + Arena::footprint(buffer.shape, buffer.dtype), time, time});
        }
        if (last == moment) all[slot].died = time;
      }
    }
  }
  return all;
}

TEST(ActivationPlan, KeepsLivingBuffersApart) {
  for (const char* const name : {"gpipe", "1f1b", "evaluation"}) {
    for (const int stages : {1, 2, 4}) {
      const bool evaluation = std::string(name) == "evaluation";
      const Schedule schedule =
          evaluation ? forward_only(stages, 6) : make_schedule(name, stages, 6);
      const Mesh mesh{.pipe = stages, .tensor = stages == 2 ? 2 : 1};
      const Partition partition = even_partition(5, stages);
      for (int pipe = 0; pipe < stages; ++pipe) {
        const auto index = static_cast<std::size_t>(pipe);
        const StageDescription stage(small_model(), mesh, {.pipe = pipe}, partition[index], {2, 24},
                                     true);
        const auto& actions = schedule.actions[index];
        const ActivationPlan plan(stage.buffers, stage.depth(), 6, actions);
        const auto all = occupation(stage, actions, plan, evaluation);
        std::int64_t highest = 0;
        for (std::size_t a = 0; a < all.size(); ++a) {
          highest = std::max(highest, all[a].end);
          for (std::size_t b = 0; b < a; ++b) {
            const bool together = all[a].born <= all[b].died && all[b].born <= all[a].died;
            const bool overlap = all[a].begin < all[b].end && all[b].begin < all[a].end;
            ASSERT_FALSE(together && overlap) << name << " stage " << pipe << " of " << stages;
          }
        }
        EXPECT_EQ(plan.peak(), highest);
      }
    }
  }
}

TEST(ActivationPlan, OneForwardOneBackwardNeedsLessThanGpipe) {
  const Mesh mesh{.pipe = 2};
  const StageDescription stage(small_model(), mesh, {.pipe = 1}, {3, 5}, {2, 24}, true);
  const ActivationPlan all_forwards(stage.buffers, stage.depth(), 8, gpipe(2, 8).actions[1]);
  const ActivationPlan alternating(stage.buffers, stage.depth(), 8,
                                   one_forward_one_backward(2, 8).actions[1]);
  EXPECT_LT(alternating.peak() * 3, all_forwards.peak());
}

}  // namespace
}  // namespace masformer
