// How the context ranks share a sequence. It is cut into equal chunks of consecutive positions, and
// every rank holds equally many of them, so that shapes are the same on all ranks. One sharding
// serves all layers.
//
// A rank's rows are its positions in ascending order: row i of every activation of a sample belongs
// to position(rank, i).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/span.h"

namespace masformer {

// Rows [begin, end) of a rank's share of a sample.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size() const { return end - begin; }
  bool operator==(const RowRange&) const = default;
};

// Consecutive positions in consecutive rows.
struct Segment {
  PositionRange positions;
  std::int64_t first_row = 0;

  // The rows that hold the positions of `part` in this segment; empty if there are none.
  RowRange rows_of(PositionRange part) const;
  bool operator==(const Segment&) const = default;
};

class SequenceSharding {
 public:
  // `chunks[rank]`: the numbers of the chunks that a rank holds, ascending. Throws Error unless
  // every chunk is on one rank, all ranks hold equally many, and the chunks divide the sequence.
  SequenceSharding(std::int64_t sequence, std::vector<std::vector<int>> chunks);

  // Rank r holds chunk r: few borders between ranks, so that windows exchange least.
  static SequenceSharding contiguous(std::int64_t sequence, int ranks);
  // Rank r holds chunks r and 2 ranks - 1 - r: under a causal mask all ranks see equally many
  // pairs.
  static SequenceSharding zigzag(std::int64_t sequence, int ranks);

  std::int64_t sequence() const { return sequence_; }
  int ranks() const { return static_cast<int>(segments_.size()); }
  std::int64_t rows() const { return sequence_ / ranks(); }  // of each rank
  // The positions of a rank, ascending; adjacent chunks are one segment.
  const std::vector<Segment>& segments(int rank) const {
    return segments_[static_cast<std::size_t>(rank)];
  }
  const std::vector<std::vector<int>>& chunks() const { return chunks_; }

  struct Place {
    int rank = 0;
    std::int64_t row = 0;

    bool operator==(const Place&) const = default;
  };
  Place place(std::int64_t position) const;
  std::int64_t position(int rank, std::int64_t row) const;  // the inverse of place()

  // "contiguous", "zigzag", or the chunks of each rank: "0 5, 1 4, 2 3".
  std::string to_string() const;
  // The inverse. Throws Error for another text, and as the constructor.
  static SequenceSharding parse(std::string_view text, std::int64_t sequence, int ranks);
  bool operator==(const SequenceSharding&) const = default;

 private:
  std::int64_t sequence_;
  std::vector<std::vector<int>> chunks_;        // [rank]
  std::vector<std::vector<Segment>> segments_;  // [rank]
  std::vector<Place> chunk_places_;             // [chunk]: its rank and first row
};

}  // namespace masformer
