// Samples: windows of S tokens and the S tokens after each of them. Window k predicts tokens
// k S + 1 ... k S + S of a split; the last incomplete window is left out.
#pragma once

#include <cstdint>
#include <vector>

#include "data/split.h"

namespace masformer {

// `samples` windows of `sequence` tokens, one behind another; each vector is [samples * sequence].
struct Batch {
  std::int64_t samples = 0;
  std::int64_t sequence = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> labels;     // the token after each
  std::vector<std::int32_t> positions;  // 0 ... sequence - 1 in each window
  std::vector<std::int32_t> documents;  // the document, by its number in the store
};

// How many windows a split of `tokens` tokens has.
std::int64_t window_count(std::int64_t tokens, std::int64_t sequence);

// Window `index` of the split, appended to `batch`.
void append_window(const Split& split, std::int64_t sequence, std::int64_t index, Batch& batch);

// The order of training: sample n is window `permute(n % windows)` under a key of (seed, epoch),
// epoch = n / windows; a pure function, so that it does not depend on layout, and any step can be
// resumed. Every window comes once in each epoch.
class SampleOrder {
 public:
  SampleOrder(std::uint64_t seed, std::int64_t windows);
  std::int64_t window(std::int64_t sample) const;

 private:
  std::uint64_t seed_;
  std::int64_t windows_;
};

// One data shard's samples of each step.
struct LoaderOptions {
  std::int64_t sequence = 0;
  std::int64_t global_batch = 0;  // samples of a step, over all shards
  int shard = 0;
  int shards = 1;  // divides global_batch
  std::uint64_t seed = 0;
};

class Loader {
 public:
  // Throws UsageError where the split has no whole window.
  Loader(const Split& split, const LoaderOptions& options);
  // Samples [step B + shard B / shards, ... B / shards more), B = global_batch. Steps count from 0.
  Batch load(std::int64_t step) const;
  std::int64_t windows() const { return windows_; }

 private:
  const Split* split_;
  LoaderOptions options_;
  std::int64_t windows_;
  SampleOrder order_;
};

}  // namespace masformer
