// Samples are windows of S tokens, with the token that follows each as its label. Window k predicts
// tokens k S + 1 ... k S + S of a split; the last incomplete window is skipped.
//
// With a document mask, the documents of a window are independent sequences that are packed into
// it: positions start again at 0 in each, and the last token of a document has no label. A document
// that starts before the window counts as one that starts with it.
#pragma once

#include <cstdint>
#include <vector>

#include "data/split.h"
#include "runtime/span.h"

namespace masformer {

// `samples` windows, of each of which `sequence` tokens are loaded, one after another. Each vector
// is [samples * sequence].
struct Batch {
  std::int64_t samples = 0;
  std::int64_t sequence = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> labels;     // the token that follows each, or -1
  std::vector<std::int32_t> positions;  // in the window; with a mask, in the document
  // With a mask: the place in the window at which each token's document starts, and all such places
  // of the whole window, ascending from 0, by sample.
  std::vector<std::int32_t> first_keys;
  std::vector<std::vector<std::int64_t>> document_starts;
};

// The number of windows in a split of `tokens` tokens.
std::int64_t window_count(std::int64_t tokens, std::int64_t sequence);

// A window, and the positions in it that one rank loads, as ascending ranges.
struct Window {
  std::int64_t sequence = 0;
  std::vector<PositionRange> parts;
  bool document_mask = false;

  std::int64_t loaded() const;  // positions
};

Window whole_window(std::int64_t sequence);

// The documents of samples, and how many of their tokens have a label.
struct PackedDocuments {
  std::int64_t predicted_tokens = 0;
  std::vector<std::vector<std::int64_t>> starts;  // as Batch::document_starts

  // Adds all of window `index`, whatever parts of it are loaded.
  void add(const Split& split, const Window& window, std::int64_t index);
};

// Appends the loaded part of window `index` of the split to `batch`.
void append_window(const Split& split, const Window& window, std::int64_t index, Batch& batch);

// The order of training: sample n is window `permute(n % windows)` under a key of (seed, epoch),
// where epoch = n / windows. Every window comes once in each epoch. This is a pure function, so the
// order does not depend on the layout, and a run can resume at any step.
class SampleOrder {
 public:
  SampleOrder(std::uint64_t seed, std::int64_t windows);
  std::int64_t window(std::int64_t sample) const;

 private:
  std::uint64_t seed_;
  std::int64_t windows_;
};

// Which samples of each step one data shard loads.
struct LoaderOptions {
  Window window;
  std::int64_t global_batch = 0;  // samples per step, over all shards
  int shard = 0;
  int shards = 1;  // divides global_batch
  std::uint64_t seed = 0;
};

class Loader {
 public:
  // Throws UsageError if the split has no complete window.
  Loader(const Split& split, const LoaderOptions& options);
  // Returns B / shards consecutive samples, the first of them number step * B + shard * (B /
  // shards), where B = global_batch. Steps count from 0. Thread-safe.
  Batch load(std::int64_t step) const;
  // Of all B samples of the step. Does not read tokens.
  PackedDocuments documents(std::int64_t step) const;
  std::int64_t windows() const { return windows_; }

 private:
  const Split* split_;
  LoaderOptions options_;
  std::int64_t windows_;
  SampleOrder order_;
};

}  // namespace masformer
