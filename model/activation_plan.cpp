#include "model/activation_plan.h"

#include <algorithm>
#include <utility>

#include "runtime/arena.h"

namespace masformer {
namespace {

// The first and last moment of a buffer in a training step or in an evaluation.
struct Lifetime {
  Moment born, last;
  bool needed = true;
};

Lifetime lifetime(const BufferDeclaration& buffer, bool evaluation) {
  if (!evaluation) return {buffer.born, buffer.last, true};
  if (buffer.evaluated) {
    const Moment moment{buffer.born.layer, Pass::forward};
    return {moment, moment, true};
  }
  return {
      buffer.born, {buffer.last_forward_layer, Pass::forward}, buffer.born.pass == Pass::forward};
}

bool is_evaluation(const std::vector<Action>& actions) {
  return std::ranges::all_of(
      actions, [](const Action& action) { return action.kind == ActionKind::forward; });
}

}  // namespace

std::vector<Moment> moments(ActionKind kind, int layers) {
  std::vector<Moment> order;
  for (int i = 0; i < layers; ++i) {
    if (kind == ActionKind::forward) {
      order.push_back({i, Pass::forward});
      continue;
    }
    const int layer = layers - 1 - i;
    if (kind != ActionKind::backward_weight) order.push_back({layer, Pass::backward_input});
    if (kind != ActionKind::backward_input) order.push_back({layer, Pass::backward_weight});
  }
  return order;
}

ActivationPlan::ActivationPlan(const std::vector<BufferDeclaration>& buffers, int layers,
                               int micro_batches, const std::vector<Action>& actions)
    : offsets_(static_cast<std::size_t>(micro_batches),
               std::vector<std::int64_t>(buffers.size(), -1)) {
  const bool evaluation = is_evaluation(actions);
  std::vector<Lifetime> lifetimes;
  for (const auto& buffer : buffers) lifetimes.push_back(lifetime(buffer, evaluation));

  OffsetAllocator allocator;
  for (const Action& action : actions) {
    auto& offsets = offsets_[static_cast<std::size_t>(action.micro_batch)];
    for (const Moment& moment : moments(action.kind, layers)) {
      for (BufferId id = 0; id < buffers.size(); ++id) {
        if (lifetimes[id].needed && lifetimes[id].born == moment) {
          offsets[id] = allocator.allocate(Arena::footprint(buffers[id].shape, buffers[id].dtype));
        }
      }
      for (BufferId id = 0; id < buffers.size(); ++id) {
        if (lifetimes[id].needed && lifetimes[id].last == moment) allocator.release(offsets[id]);
      }
    }
  }
  peak_ = allocator.peak();
}

}  // namespace masformer
