#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "runtime/error.h"

namespace masformer {
namespace {

bool is_held_out(std::size_t document, double fraction) {
  if (fraction == 0 || document == 0) return false;
  const auto d = static_cast<double>(document);
  return document == 1 || std::floor((d - 1) * fraction) > std::floor((d - 2) * fraction);
}

}  // namespace

Split::Split(const TokenStore& store, SplitKind kind, double held_out) : store_(&store) {
  if (!(held_out >= 0 && held_out < 1)) {
    refuse("a held-out share of {} is not in [0, 1): 0.01 holds out one document of a hundred",
           held_out);
  }
  const std::vector<std::uint64_t>& documents = store.documents();
  for (std::size_t d = 0; d < documents.size(); ++d) {
    const bool wanted =
        kind == SplitKind::all || is_held_out(d, held_out) == (kind == SplitKind::held_out);
    if (!wanted) continue;
    const auto begin = static_cast<std::int64_t>(documents[d]);
    const auto end =
        d + 1 < documents.size() ? static_cast<std::int64_t>(documents[d + 1]) : store.tokens();
    pieces_.push_back({tokens_, begin});
    tokens_ += end - begin;
  }
}

std::int64_t Split::tokens() const {
  return tokens_;
}
std::int64_t Split::documents() const {
  return static_cast<std::int64_t>(pieces_.size());
}

void Split::require_tokens(std::int64_t begin, std::int64_t end) const {
  require(begin >= 0 && begin <= end && end <= tokens_,
          "tokens [{}, {}) are outside of a split of {} tokens", begin, end, tokens_);
}

std::vector<Split::Piece>::const_iterator Split::piece_at(std::int64_t begin) const {
  const auto after = std::ranges::upper_bound(pieces_, begin, {}, &Piece::begin);
  return after == pieces_.begin() ? after : std::prev(after);
}

void Split::read(std::int64_t begin, std::span<std::int32_t> out) const {
  const std::int64_t end = begin + static_cast<std::int64_t>(out.size());
  require_tokens(begin, end);
  auto piece = piece_at(begin);
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t shift = piece->in_store - piece->begin;
    const std::int64_t run = at;
    // Documents that are adjacent in the store, too, are read in one go.
    do {
      ++piece;
      at = piece == pieces_.end() ? end : std::min(end, piece->begin);
    } while (at < end && piece->in_store - piece->begin == shift);
    store_->read(run + shift, out.subspan(static_cast<std::size_t>(run - begin),
                                          static_cast<std::size_t>(at - run)));
  }
}

std::vector<std::int64_t> Split::document_starts(std::int64_t begin, std::int64_t count) const {
  require_tokens(begin, begin + count);
  std::vector<std::int64_t> starts;
  if (count == 0) return starts;
  for (auto piece = piece_at(begin); piece != pieces_.end() && piece->begin < begin + count;
       ++piece) {
    starts.push_back(std::max<std::int64_t>(piece->begin - begin, 0));
  }
  return starts;
}

}  // namespace masformer
