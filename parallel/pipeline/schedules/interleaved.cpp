#include <algorithm>
#include <string>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The kinds of a stage's actions: `first`, then `repeated` again and again. F is a forward, B a
// backward.
struct InterleavedPattern {
  std::string first, repeated;
};

// With 2 stages, outputs and gradients of different chunks share a link, and in Megatron-LM's order
// each stage would wait for the other to receive. Two chunks have another order that is as fast if
// a backward takes twice as long as a forward: it was searched for, and holds 4 and 3 parts. With
// more chunks, each round of two micro-batches ends before the next one starts.
InterleavedPattern interleaved_pattern(int stages, int chunks, int stage) {
  const auto repeat = [](int times, char kind) {
    return std::string(static_cast<std::size_t>(times), kind);
  };
  if (stages == 2 && chunks == 2) {
    return stage == 0 ? InterleavedPattern{"FFFFBFBBFF", "BFBFBBFF"}
                      : InterleavedPattern{"FFFBFBBF", "BFFBFBBF"};
  }
  if (stages == 2) return {"", repeat(2 * chunks, 'F') + repeat(2 * chunks, 'B')};
  return {repeat(2 * (stages - 1 - stage) + (chunks - 1) * stages, 'F'), "FB"};
}

}  // namespace

// Micro-batches go through the chunks in rounds of `stages`: all of a round on one chunk, then all
// of it on the next (Megatron-LM's order). The pattern is that of an endless step whose rounds are
// full, without the micro-batches that do not exist. Leaving some out on all stages keeps the order
// on every link, so what is left can't deadlock either.
Schedule interleaved(int stages, int micro_batches, int chunks) {
  Schedule schedule = empty_schedule(Placement::round_robin(stages, chunks), micro_batches);
  const int round = stages * chunks;
  const int passes = (micro_batches + stages - 1) / stages * round;
  for (int stage = 0; stage < stages; ++stage) {
    auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
    const InterleavedPattern pattern = interleaved_pattern(stages, chunks, stage);
    int forwards = 0, backwards = 0;
    for (std::size_t i = 0; backwards < passes; ++i) {
      const char kind =
          i < pattern.first.size()
              ? pattern.first[i]
              : pattern.repeated[(i - pattern.first.size()) % pattern.repeated.size()];
      const bool forward = kind == 'F';
      const int pass = forward ? forwards++ : backwards++;
      const int turn = pass % round / stages;
      const int micro_batch = pass / round * stages + pass % stages;
      if (micro_batch >= micro_batches) continue;
      actions.push_back({forward ? ActionKind::forward : ActionKind::backward, micro_batch,
                         forward ? turn : chunks - 1 - turn});
    }
  }
  return schedule;
}

}  // namespace masformer
