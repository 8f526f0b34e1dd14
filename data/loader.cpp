#include "data/loader.h"

#include <algorithm>
#include <iterator>
#include <utility>

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

namespace {

// Where documents start in window `index` and at the token after it, which is the last label.
std::vector<std::int64_t> starts_with_next(const Split& split, const Window& window,
                                           std::int64_t index) {
  return split.document_starts(index * window.sequence, window.sequence + 1);
}

std::vector<std::int64_t> without_next(std::vector<std::int64_t> starts, const Window& window) {
  if (starts.back() == window.sequence) starts.pop_back();
  return starts;
}

// Appends the part of a window from its position `begin` on, as tokens and labels.
void append_tokens(const Split& split, std::int64_t begin, std::int64_t size, Batch& batch) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(size) + 1);
  split.read(begin, tokens);
  batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end() - 1);
  batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
}

// Masks the labels of the last `part.size()` tokens, and appends their positions and first keys.
// `starts`: see starts_with_next().
void mask_documents(const std::vector<std::int64_t>& starts, PositionRange part, Batch& batch) {
  auto next = std::ranges::upper_bound(starts, part.begin);
  auto label = batch.labels.end() - part.size();
  for (std::int64_t position = part.begin; position < part.end; ++position, ++label) {
    if (next != starts.end() && *next == position) ++next;
    const std::int64_t first = *std::prev(next);
    batch.positions.push_back(static_cast<std::int32_t>(position - first));
    batch.first_keys.push_back(static_cast<std::int32_t>(first));
    if (next != starts.end() && *next == position + 1) *label = -1;
  }
}

}  // namespace

void append_window(const Split& split, const Window& window, std::int64_t index, Batch& batch) {
  std::vector<std::int64_t> starts;
  if (window.document_mask) starts = starts_with_next(split, window, index);
  for (const PositionRange& part : window.parts) {
    append_tokens(split, index * window.sequence + part.begin, part.size(), batch);
    if (window.document_mask) {
      mask_documents(starts, part, batch);
      continue;
    }
    for (std::int64_t position = part.begin; position < part.end; ++position) {
      batch.positions.push_back(static_cast<std::int32_t>(position));
    }
  }
  if (window.document_mask) {
    batch.document_starts.push_back(without_next(std::move(starts), window));
  }
  batch.samples += 1;
  batch.sequence = window.loaded();
}

void PackedDocuments::add(const Split& split, const Window& window, std::int64_t index) {
  predicted_tokens += window.sequence;
  if (!window.document_mask) return;
  std::vector<std::int64_t> found = starts_with_next(split, window, index);
  predicted_tokens -= std::ssize(found) - 1;  // each start but the first masks the label before it
  starts.push_back(without_next(std::move(found), window));
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

PackedDocuments Loader::documents(std::int64_t step) const {
  const std::int64_t first = step * options_.global_batch;
  PackedDocuments documents;
  for (std::int64_t sample = first; sample < first + options_.global_batch; ++sample) {
    documents.add(*split_, options_.window, order_.window(sample));
  }
  return documents;
}

}  // namespace masformer
