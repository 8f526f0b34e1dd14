#include "parallel/checkpoint/cover.h"

#include <algorithm>
#include <set>

#include <fmt/ranges.h>

namespace masformer::checkpoint {
namespace {

std::int64_t begin_of(const StoredPiece& piece, std::size_t dim) {
  return piece.slab.offset[dim];
}

std::int64_t end_of(const StoredPiece& piece, std::size_t dim) {
  return piece.slab.offset[dim] + piece.slab.shape[dim];
}

// The dimension in which the pieces begin at the most distinct offsets.
std::size_t most_cut_dimension(const StoredTensor& tensor) {
  std::size_t best = 0;
  std::size_t most_begins = 0;
  for (std::size_t dim = 0; dim < tensor.shape.size(); ++dim) {
    std::set<std::int64_t> begins;
    for (const StoredPiece& piece : tensor.pieces) begins.insert(begin_of(piece, dim));
    if (begins.size() > most_begins) {
      best = dim;
      most_begins = begins.size();
    }
  }
  return best;
}

std::string describe(const StoredPiece& piece) {
  return fmt::format("{} of {}", to_string(piece.slab), piece.file);
}

std::string overlap_between(const StoredPiece& a, const StoredPiece& b) {
  return fmt::format("{} and {} overlap", describe(a), describe(b));
}

// Sweeps along one dimension. `open` holds the pieces that contain the current position.
std::string overlap_complaint(const StoredTensor& tensor) {
  if (tensor.shape.empty()) {
    return tensor.pieces.size() < 2 ? "" : overlap_between(tensor.pieces[0], tensor.pieces[1]);
  }
  const std::size_t dim = most_cut_dimension(tensor);
  std::vector<const StoredPiece*> order;
  for (const StoredPiece& piece : tensor.pieces) order.push_back(&piece);
  std::stable_sort(order.begin(), order.end(), [dim](const StoredPiece* a, const StoredPiece* b) {
    return begin_of(*a, dim) < begin_of(*b, dim);
  });
  std::vector<const StoredPiece*> open;
  for (const StoredPiece* piece : order) {
    std::erase_if(open, [&](const StoredPiece* other) {
      return end_of(*other, dim) <= begin_of(*piece, dim);
    });
    for (const StoredPiece* other : open) {
      if (intersect(other->slab, piece->slab)) return overlap_between(*other, *piece);
    }
    open.push_back(piece);
  }
  return "";
}

}  // namespace

std::optional<std::int64_t> checked_elements(const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = sizeof(float);
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    empty = empty || extent == 0;
    if (extent > 0 && __builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return empty ? 0 : bytes / static_cast<std::int64_t>(sizeof(float));
}

bool lies_in(const Hyperslab& box, const std::vector<std::int64_t>& shape) {
  if (box.offset.size() != shape.size() || box.shape.size() != shape.size()) return false;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    if (box.offset[dim] < 0 || box.shape[dim] < 0) return false;
    if (box.offset[dim] > shape[dim] || box.shape[dim] > shape[dim] - box.offset[dim]) return false;
  }
  return true;
}

std::string to_string(const Hyperslab& box) {
  std::vector<std::string> ranges;
  for (std::size_t dim = 0; dim < box.offset.size(); ++dim) {
    ranges.push_back(fmt::format("{}:{}", box.offset[dim], box.offset[dim] + box.shape[dim]));
  }
  return fmt::format("[{}]", fmt::join(ranges, ", "));
}

std::string cover_complaint(const StoredTensor& tensor) {
  for (const StoredPiece& piece : tensor.pieces) {
    if (!lies_in(piece.slab, tensor.shape)) {
      return fmt::format("{} is not inside [{}]", describe(piece), fmt::join(tensor.shape, ", "));
    }
  }
  if (std::string overlap = overlap_complaint(tensor); !overlap.empty()) return overlap;
  // Disjoint boxes inside the tensor fill it exactly if their volumes add up to its own.
  std::int64_t stored = 0;
  for (const StoredPiece& piece : tensor.pieces) stored += piece.slab.elements();
  const std::int64_t wanted = tensor.elements();
  if (stored == wanted) return "";
  return fmt::format("{} of its {} elements are missing", wanted - stored, wanted);
}

}  // namespace masformer::checkpoint
