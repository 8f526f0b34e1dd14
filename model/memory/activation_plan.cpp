#include "model/memory/activation_plan.h"

#include <algorithm>
#include <utility>

#include "runtime/arena.h"

namespace masformer {
namespace {

// The first and last point of a buffer's life.
struct Lifetime {
  ProgramPoint first_use, last;
};

// The lives of a buffer in a training step: one, or where it is recomputed, one before that and one
// from there.
std::vector<Lifetime> lives_in_training(const BufferSpec& buffer) {
  if (!buffer.recomputed) return {{buffer.first_use, buffer.last}};
  const ProgramPoint again{buffer.first_use.layer, Pass::recompute};
  const bool scratch = buffer.last.pass == Pass::forward;
  return {{buffer.first_use, {buffer.last_forward_layer, Pass::forward}},
          {again, scratch ? again : buffer.last}};
}

std::vector<Lifetime> lives_in_evaluation(const BufferSpec& buffer) {
  const ProgramPoint own{buffer.first_use.layer, Pass::forward};
  if (buffer.evaluated) return {{own, own}};
  if (buffer.first_use.pass != Pass::forward) return {};
  return {{own, {buffer.last_forward_layer, Pass::forward}}};
}

bool is_evaluation(const std::vector<Action>& actions) {
  return std::ranges::all_of(
      actions, [](const Action& action) { return action.kind == ActionKind::forward; });
}

}  // namespace

std::vector<ProgramPoint> StagePasses::program(ActionKind kind) const {
  std::vector<ProgramPoint> order;
  for (int i = 0; i < layers; ++i) {
    if (kind == ActionKind::forward) {
      order.push_back({i, Pass::forward});
      continue;
    }
    const int layer = layers - 1 - i;
    if (kind != ActionKind::backward_weight) {
      for (const RecomputedLayers& again : recomputed) {
        if (again.end != layer + 1) continue;
        for (int l = again.begin; l < again.end; ++l) order.push_back({l, Pass::recompute});
      }
      order.push_back({layer, Pass::backward_input});
    }
    if (kind != ActionKind::backward_input) order.push_back({layer, Pass::backward_weight});
  }
  return order;
}

bool StagePasses::recomputed_together(int writer, int reader) const {
  return std::ranges::any_of(recomputed, [&](const RecomputedLayers& layers_again) {
    return layers_again.begin <= writer && writer < reader && reader < layers_again.end;
  });
}

ActivationPlan::ActivationPlan(const std::vector<BufferSpec>& buffers, const StagePasses& passes,
                               int micro_batches, const std::vector<Action>& actions)
    : forward_(static_cast<std::size_t>(micro_batches),
               std::vector<std::int64_t>(buffers.size(), -1)),
      backward_(forward_) {
  const bool evaluation = is_evaluation(actions);
  std::vector<std::vector<Lifetime>> lives;
  for (const auto& buffer : buffers) {
    lives.push_back(evaluation ? lives_in_evaluation(buffer) : lives_in_training(buffer));
  }
  // Calls visit(buffer) for each life that has this end at this point.
  const auto each = [&](ProgramPoint Lifetime::*end, const ProgramPoint& point, const auto& visit) {
    for (BufferId id = 0; id < buffers.size(); ++id) {
      for (const Lifetime& life : lives[id]) {
        if (life.*end == point) visit(id);
      }
    }
  };
  OffsetAllocator allocator;
  for (const Action& action : actions) {
    const auto batch = static_cast<std::size_t>(action.micro_batch);
    std::vector<std::int64_t>& offsets = backward_[batch];
    for (const ProgramPoint& point : passes.program(action.kind)) {
      each(&Lifetime::first_use, point, [&](BufferId id) {
        offsets[id] = allocator.allocate(Arena::footprint(buffers[id].shape, buffers[id].dtype));
      });
      each(&Lifetime::last, point, [&](BufferId id) { allocator.release(offsets[id]); });
    }
    if (action.kind == ActionKind::forward) forward_[batch] = offsets;
  }
  peak_ = allocator.peak();
}

}  // namespace masformer
