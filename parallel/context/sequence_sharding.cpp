#include "parallel/context/sequence_sharding.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {

RowRange Segment::rows_of(PositionRange part) const {
  const std::int64_t begin = std::clamp(part.begin, positions.begin, positions.end);
  const std::int64_t end = std::clamp(part.end, begin, positions.end);
  return {first_row + begin - positions.begin, first_row + end - positions.begin};
}

SequenceSharding::SequenceSharding(std::int64_t sequence, std::vector<std::vector<int>> chunks)
    : sequence_(sequence), chunks_(std::move(chunks)), segments_(chunks_.size()) {
  require(!chunks_.empty() && !chunks_.front().empty(), "a sequence is shared by no rank");
  const std::size_t each = chunks_.front().size();
  const auto count = static_cast<std::int64_t>(chunks_.size() * each);
  require(sequence >= count && sequence % count == 0,
          "a sequence of {} tokens can't be cut into {} equal chunks", sequence, count);
  const std::int64_t size = sequence / count;
  constexpr Place nowhere{-1, 0};
  chunk_places_.assign(static_cast<std::size_t>(count), nowhere);
  for (std::size_t rank = 0; rank < chunks_.size(); ++rank) {
    const std::vector<int>& held = chunks_[rank];
    require(held.size() == each && std::ranges::is_sorted(held),
            "context rank {} holds {} chunks: it must hold {} in ascending order", rank,
            held.size(), each);
    std::vector<Segment>& segments = segments_[rank];
    std::int64_t row = 0;
    for (const int chunk : held) {
      const bool is_new =
          chunk >= 0 && chunk < count && chunk_places_[static_cast<std::size_t>(chunk)] == nowhere;
      require(is_new, "chunk {} of {} is on context rank {}: each must be on exactly one rank",
              chunk, count, rank);
      chunk_places_[static_cast<std::size_t>(chunk)] = {static_cast<int>(rank), row};
      const std::int64_t begin = chunk * size;
      if (segments.empty() || segments.back().positions.end != begin)
        segments.push_back({{begin, begin}, row});
      segments.back().positions.end = begin + size;
      row += size;
    }
  }
}

SequenceSharding SequenceSharding::contiguous(std::int64_t sequence, int ranks) {
  std::vector<std::vector<int>> chunks;
  for (int rank = 0; rank < ranks; ++rank) chunks.push_back({rank});
  return {sequence, std::move(chunks)};
}

SequenceSharding SequenceSharding::zigzag(std::int64_t sequence, int ranks) {
  std::vector<std::vector<int>> chunks;
  for (int rank = 0; rank < ranks; ++rank) chunks.push_back({rank, 2 * ranks - 1 - rank});
  return {sequence, std::move(chunks)};
}

std::string SequenceSharding::to_string() const {
  if (*this == contiguous(sequence_, ranks())) return "contiguous";
  if (std::ssize(chunk_places_) == 2 * ranks() && *this == zigzag(sequence_, ranks())) {
    return "zigzag";
  }
  std::vector<std::string> by_rank;
  for (const auto& held : chunks_) by_rank.push_back(fmt::format("{}", fmt::join(held, " ")));
  return fmt::format("{}", fmt::join(by_rank, ", "));
}

SequenceSharding SequenceSharding::parse(std::string_view text, std::int64_t sequence, int ranks) {
  require(ranks >= 1 && sequence >= ranks && sequence % ranks == 0,
          "{} tokens can't be divided among {} ranks", sequence, ranks);
  if (text == "contiguous") return contiguous(sequence, ranks);
  if (text == "zigzag" && sequence % (2 * ranks) == 0) return zigzag(sequence, ranks);
  std::vector<std::vector<int>> chunks;
  std::istringstream by_rank{std::string(text)};
  for (std::string held; std::getline(by_rank, held, ',');) {
    std::istringstream numbers(held);
    chunks.emplace_back(std::istream_iterator<int>(numbers), std::istream_iterator<int>());
    require(numbers.eof(), "\"{}\" is not an order of tokens", text);
  }
  require(std::ssize(chunks) == ranks, "\"{}\" is not an order of tokens over {} ranks", text,
          ranks);
  return {sequence, std::move(chunks)};
}

SequenceSharding::Place SequenceSharding::place(std::int64_t position) const {
  const std::int64_t size = sequence_ / std::ssize(chunk_places_);
  Place place = chunk_places_[static_cast<std::size_t>(position / size)];
  place.row += position % size;
  return place;
}

std::int64_t SequenceSharding::position(int rank, std::int64_t row) const {
  const std::int64_t size = sequence_ / std::ssize(chunk_places_);
  const int chunk = chunks_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(row / size)];
  return chunk * size + row % size;
}

}  // namespace masformer
