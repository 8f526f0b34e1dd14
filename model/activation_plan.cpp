#include "model/activation_plan.h"

#include <algorithm>
#include <utility>

#include "runtime/arena.h"

namespace masformer {
namespace {

// The first and last moment of a buffer's life.
struct Lifetime {
  Moment born, last;
};

// The lives of a buffer in a training step: one, or where it is recomputed, one before that and one
// from there.
std::vector<Lifetime> lives_in_training(const BufferDeclaration& buffer) {
  if (!buffer.recomputed) return {{buffer.born, buffer.last}};
  const Moment again{buffer.born.layer, Pass::recompute};
  const bool scratch = buffer.last.pass == Pass::forward;
  return {{buffer.born, {buffer.last_forward_layer, Pass::forward}},
          {again, scratch ? again : buffer.last}};
}

std::vector<Lifetime> lives_in_evaluation(const BufferDeclaration& buffer) {
  const Moment own{buffer.born.layer, Pass::forward};
  if (buffer.evaluated) return {{own, own}};
  if (buffer.born.pass != Pass::forward) return {};
  return {{own, {buffer.last_forward_layer, Pass::forward}}};
}

bool is_evaluation(const std::vector<Action>& actions) {
  return std::ranges::all_of(
      actions, [](const Action& action) { return action.kind == ActionKind::forward; });
}

}  // namespace

std::vector<Moment> StagePasses::moments(ActionKind kind) const {
  std::vector<Moment> order;
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

ActivationPlan::ActivationPlan(const std::vector<BufferDeclaration>& buffers,
                               const StagePasses& passes, int micro_batches,
                               const std::vector<Action>& actions)
    : forward_(static_cast<std::size_t>(micro_batches),
               std::vector<std::int64_t>(buffers.size(), -1)),
      backward_(forward_) {
  const bool evaluation = is_evaluation(actions);
  std::vector<std::vector<Lifetime>> lives;
  for (const auto& buffer : buffers) {
    lives.push_back(evaluation ? lives_in_evaluation(buffer) : lives_in_training(buffer));
  }
  // Calls visit(buffer) for each life that has this end at this moment.
  const auto each = [&](Moment Lifetime::*end, const Moment& moment, const auto& visit) {
    for (BufferId id = 0; id < buffers.size(); ++id) {
      for (const Lifetime& life : lives[id]) {
        if (life.*end == moment) visit(id);
      }
    }
  };
  OffsetAllocator allocator;
  for (const Action& action : actions) {
    const auto batch = static_cast<std::size_t>(action.micro_batch);
    std::vector<std::int64_t>& offsets = backward_[batch];
    for (const Moment& moment : passes.moments(action.kind)) {
      each(&Lifetime::born, moment, [&](BufferId id) {
        offsets[id] = allocator.allocate(Arena::footprint(buffers[id].shape, buffers[id].dtype));
      });
      each(&Lifetime::last, moment, [&](BufferId id) { allocator.release(offsets[id]); });
    }
    if (action.kind == ActionKind::forward) forward_[batch] = offsets;
  }
  peak_ = allocator.peak();
}

}  // namespace masformer
