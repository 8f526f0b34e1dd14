#include "data/loader.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/random.h"

namespace masformer {

std::int64_t window_count(std::int64_t tokens, std::int64_t sequence) {
  return std::max<std::int64_t>(tokens - 1, 0) / sequence;
}

std::int64_t Window::loaded() const {
  std::int64_t positions = 0;
  for (const PositionRange& part : parts) positions += part.size();
  return positions;
}

Window whole_window(std::int64_t sequence) {
  return {sequence, {{0, sequence}}};
}

void append_window(const Split& split, const Window& window, std::int64_t index, Batch& batch) {
  for (const PositionRange& part : window.parts) {
    // One token more than the part: the last label.
    const auto count = static_cast<std::size_t>(part.size()) + 1;
    std::vector<std::int32_t> tokens(count);
    std::vector<std::int32_t> documents(count);
    split.read(index * window.sequence + part.begin, tokens, documents);
    batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end() - 1);
    batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
    batch.documents.insert(batch.documents.end(), documents.begin(), documents.end() - 1);
    for (std::int64_t position = part.begin; position < part.end; ++position) {
      batch.positions.push_back(static_cast<std::int32_t>(position));
    }
  }
  batch.samples += 1;
  batch.sequence = window.loaded();
}

SampleOrder::SampleOrder(std::uint64_t seed, std::int64_t windows)
    : seed_(mix(seed, "samples")), windows_(windows) {}

std::int64_t SampleOrder::window(std::int64_t sample) const {
  const auto number = static_cast<std::uint64_t>(sample);
  const auto windows = static_cast<std::uint64_t>(windows_);
  const std::uint64_t epoch = number / windows;
  return static_cast<std::int64_t>(permute(number % windows, windows, mix(seed_, epoch)));
}

Loader::Loader(const Split& split, const LoaderOptions& options)
    : split_(&split),
      options_(options),
      windows_(options.window.sequence > 0 ? window_count(split.tokens(), options.window.sequence)
                                           : 0),
      order_(options.seed, windows_) {
  const std::int64_t sequence = options.window.sequence;
  if (sequence < 1) refuse("a sequence has {} tokens, but must have at least 1", sequence);
  if (options.global_batch < 1 || options.shards < 1 ||
      options.global_batch % options.shards != 0) {
    refuse("{} samples per step can't be divided among {} data shards", options.global_batch,
           options.shards);
  }
  require(options.shard >= 0 && options.shard < options.shards, "there is no shard {} of {}",
          options.shard, options.shards);
  if (windows_ == 0) {
    refuse(
        "{} tokens in {} documents are too few for one sample of {} tokens and the token after "
        "it: shorten the sequence, or use more text",
        split.tokens(), split.documents(), sequence);
  }
}

Batch Loader::load(std::int64_t step) const {
  const std::int64_t mine = options_.global_batch / options_.shards;
  const std::int64_t first = step * options_.global_batch + options_.shard * mine;
  Batch batch;
  for (std::int64_t sample = first; sample < first + mine; ++sample) {
    append_window(*split_, options_.window, order_.window(sample), batch);
  }
  return batch;
}

}  // namespace masformer
