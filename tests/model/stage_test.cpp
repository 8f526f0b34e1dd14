// A stage allocates exactly the memory that was planned, and so do its groups on the host of a
// device. It also uses all of it: the test fills the arena of activations with NaN and searches it
// for the last byte that a step has written. Finite results show that no result depends on the
// previous content.
#include "model/stage.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/has_bf16.h"
#include "tests/support/layout.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

// Makes the case smaller for the fake of CUDA, which is slow.
void shrink(LayoutCase& c) {
  c.samples = 4;
  c.sequence = c.mesh.context > 1 ? 16 : 9;
  c.hidden = 16;
  c.heads = 4;
  if (c.mesh.pipe == 1) c.spans = "full,window:5";
}

std::vector<LayoutCase> cases() {
  const std::vector<LayoutCase> kinds{
      {.mesh = {}},
      {.mesh = {.tensor = 2}},
      {.mesh = {.data = 2}},
      {.mesh = {.tensor = 4}, .sequence_parallel = false},
      {.mesh = {.data = 2, .tensor = 2}},
      {.mesh = {.pipe = 2}, .partition = "1,3"},
      {.mesh = {.pipe = 2, .data = 2}, .partition = "3,1"},
      {.mesh = {.pipe = 2, .tensor = 2}},
      {.mesh = {.pipe = 4}, .tied = false},
      {.mesh = {.pipe = 2}, .partition = "1,1,1,1"},
      {.mesh = {.context = 2}, .sequence = 48},
      {.mesh = {.context = 4}, .sequence = 48, .order = "zigzag"},
      {.mesh = {.pipe = 2, .context = 2}, .sequence = 48, .order = "zigzag"},
      {.mesh = {.context = 2}, .sequence = 48, .order = "zigzag", .full = "heads"},
      {.mesh = {.context = 4}, .sequence = 48, .full = "heads"},
      {.mesh = {}, .documents = "3,1"},
      {.mesh = {.context = 2}, .sequence = 48, .documents = "3,1"},
      {.mesh = {.context = 2}, .sequence = 48, .order = "zigzag", .documents = "3,1"},
      {.mesh = {.context = 4}, .sequence = 48, .full = "heads", .documents = "3,1"},
      {.mesh = {}, .ffn_block = 5},
      {.mesh = {.tensor = 2}, .ffn_block = 5},
  };
  const std::vector<const char*> of_stages{"gpipe", "1f1b", "zero-bubble", "auto"};
  const std::vector<const char*> of_parts{"two chunks", "v", "interleaved", "zero-bubble-v"};
  std::vector<LayoutCase> all;
  for (LayoutCase c : kinds) {
    if (c.mesh.size() != world().size()) continue;
    if (device() != Device::cpu) shrink(c);
    for (const char* const recompute : {"none", "selective", "block"}) {
      for (const bool brief : {false, true}) {
        c.recompute = recompute;
        const bool parts = c.partition == "1,1,1,1";
        const auto turn = all.size();  // so that each meets several layouts
        c.schedule = parts ? of_parts[turn % of_parts.size()] : of_stages[turn % of_stages.size()];
        c.dtype = brief ? DType::bf16 : DType::f32;
        all.push_back(c);
      }
    }
  }
  drop_bf16_unless_possible(all);
  return all;
}

// The memory of a stage's activations.
class ActivationArena {
 public:
  explicit ActivationArena(const Stage& stage)
      : copy_(static_cast<std::size_t>(stage.plan().peak()) / sizeof(spoilt)) {
    const Action first{.kind = ActionKind::forward};
    for (BufferId id = 0; id < stage.spec().buffers.size(); ++id) {
      const Tensor buffer = stage.buffer(first, id);
      if (!buffer) continue;
      const std::int64_t offset = stage.plan().training.offset(first.kind, 0, id);
      begin_ = static_cast<std::byte*>(buffer.raw()) - offset;
    }
  }

  // Fills the memory with NaN, both in fp32 and in bf16.
  void spoil() {
    std::ranges::fill(copy_, spoilt);
    copy(stream_, on_host(), in_place());
    stream_.synchronize();  // the stage uses another stream
  }

  // The end of what was written since spoil(), rounded up to where another tensor could start.
  std::int64_t end_of_written() {
    copy(stream_, in_place(), on_host());
    std::int64_t end = words();
    while (end > 0 && copy_[static_cast<std::size_t>(end - 1)] == spoilt) --end;
    constexpr std::int64_t boundary = Arena::alignment / std::int64_t{sizeof(spoilt)};
    return (end + boundary - 1) / boundary * Arena::alignment;
  }

 private:
  static constexpr std::int32_t spoilt = -1;

  std::int64_t words() const { return std::ssize(copy_); }
  Tensor on_host() { return {copy_.data(), {words()}, DType::i32, Device::cpu}; }
  Tensor in_place() const { return {begin_, {words()}, DType::i32, device()}; }

  Stream stream_{device()};
  std::byte* begin_ = nullptr;
  std::vector<std::int32_t> copy_;
};

// The host memory of groups whose stages are on devices; none with NCCL.
void expect_messages_as_planned(const LayoutRun& run) {
  const Stage& stage = run.stage();
  if (stage.spec().on_host) return;
  const ProcessGroups& groups = run.groups();
  const std::int64_t planned =
      plan_host_memory(stage.spec(), stage.plan(), groups.staged()).messages;
  if (groups.context->size() == 1) {
    EXPECT_EQ(groups.working_memory(), planned);
  } else {  // not all messages of an exchange need be on their way at once
    EXPECT_LE(groups.working_memory(), planned);
  }
}

// `summed`: whether a sum has run, since groups allocate their working memory in the first one.
void expect_as_planned(const Stage& stage, bool summed) {
  const MemoryTable planned = plan_memory(stage.spec(), stage.plan());
  const MemoryTable taken = stage.memory();
  EXPECT_EQ(taken.weights, planned.weights);
  EXPECT_EQ(taken.gradients, planned.gradients);
  EXPECT_EQ(taken.optimizer, planned.optimizer);
  EXPECT_EQ(taken.activations, planned.activations);
  EXPECT_EQ(taken.batch, planned.batch);
  EXPECT_EQ(taken.messages, summed ? planned.messages : 0);
  EXPECT_EQ(taken.workspace, planned.workspace);
}

TEST(StageMemory, EqualsThePlanToTheByte) {
  const std::vector<LayoutCase> all = cases();
  ASSERT_FALSE(all.empty());
  for (const LayoutCase& c : all) {
    SCOPED_TRACE(testing::Message() << c);
    LayoutRun run = over_all_ranks(c);
    expect_as_planned(run.stage(), false);
    ActivationArena arena(run.stage());
    arena.spoil();
    run.forward_backward(0);
    expect_as_planned(run.stage(), true);
    EXPECT_EQ(arena.end_of_written(), run.stage().plan().training.peak());
    EXPECT_TRUE(std::isfinite(run.loss()) && std::isfinite(run.norm()));
    arena.spoil();
    const double loss = run.evaluate(0);
    EXPECT_EQ(arena.end_of_written(), run.stage().plan().evaluation.peak());
    EXPECT_TRUE(std::isfinite(loss));
    run.update_weights(0);
    expect_messages_as_planned(run);
  }
}

}  // namespace
}  // namespace masformer::test
