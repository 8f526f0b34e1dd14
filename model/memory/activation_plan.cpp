#include "model/memory/activation_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/arena.h"
#include "runtime/offset_allocator.h"

namespace masformer {
namespace {

// The first and last point of a buffer's life.
struct Lifetime {
  ProgramPoint first, last;
};

// The lifetimes of a buffer in a training step: one, or two if it is recomputed (up to the end of
// the forwards that read it, and from its recomputation on).
std::vector<Lifetime> lives_in_training(const BufferSpec& buffer) {
  if (!buffer.recomputed) return {{buffer.first_use, buffer.last_use}};
  const ProgramPoint again{buffer.first_use.layer, Pass::recompute};
  const bool scratch = buffer.last_use.pass == Pass::forward;
  return {{buffer.first_use, {buffer.last_forward_layer, Pass::forward}},
          {again, scratch ? again : buffer.last_use}};
}

std::vector<Lifetime> lives_in_evaluation(const BufferSpec& buffer) {
  const ProgramPoint own{buffer.first_use.layer, Pass::forward};
  if (buffer.evaluated) return {{own, own}};
  if (buffer.first_use.pass != Pass::forward) return {};
  return {{own, {buffer.last_forward_layer, Pass::forward}}};
}

// Lists the buffers whose lifetimes begin or end at each point, so that the replay visits only
// those.
class LifetimeIndex {
 public:
  struct Changes {
    std::vector<BufferId> begin, end;
  };

  LifetimeIndex(const std::vector<BufferSpec>& buffers, int layers, bool evaluation)
      : changes_(static_cast<std::size_t>(layers)) {
    for (BufferId id = 0; id < buffers.size(); ++id) {
      for (const Lifetime& life :
           evaluation ? lives_in_evaluation(buffers[id]) : lives_in_training(buffers[id])) {
        at(life.first).begin.push_back(id);
        at(life.last).end.push_back(id);
      }
    }
  }

  const Changes& operator[](const ProgramPoint& point) const {
    return changes_[static_cast<std::size_t>(point.layer)][static_cast<std::size_t>(point.pass)];
  }

 private:
  static constexpr std::size_t passes = enum_names<Pass>.size();

  Changes& at(const ProgramPoint& point) {
    return const_cast<Changes&>(std::as_const(*this)[point]);
  }

  std::vector<std::array<Changes, passes>> changes_;  // [layer][pass]
};

}  // namespace

ActivationPlan::ActivationPlan(const std::vector<BufferSpec>& buffers, const StageProgram& program,
                               int micro_batches, const std::vector<Action>& actions)
    : forward_(static_cast<std::size_t>(micro_batches),
               std::vector<std::int64_t>(buffers.size(), -1)),
      backward_(forward_) {
  const LifetimeIndex lives(buffers, program.layers(), is_evaluation(actions));
  std::vector<std::int64_t> bytes;
  for (const BufferSpec& buffer : buffers) {
    bytes.push_back(Arena::footprint(buffer.shape, buffer.dtype));
  }
  OffsetAllocator allocator;
  for (const Action& action : actions) {
    const auto batch = static_cast<std::size_t>(action.micro_batch);
    const bool forward = action.kind == ActionKind::forward;
    // The backward uses the offsets of the forward, except for recomputed buffers, which get new
    // ones.
    for (const ProgramPoint& point : program.points(action.kind, action.chunk)) {
      for (const BufferId id : lives[point].begin) {
        const std::int64_t offset = allocator.allocate(bytes[id]);
        backward_[batch][id] = offset;
        if (forward) forward_[batch][id] = offset;
      }
      for (const BufferId id : lives[point].end) allocator.release(backward_[batch][id]);
    }
  }
  peak_ = allocator.peak();
}

}  // namespace masformer
