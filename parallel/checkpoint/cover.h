// Checks that boxes tile a tensor, without visiting its elements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/checkpoint/manifest.h"
#include "parallel/sharding.h"

namespace masformer::checkpoint {

// The number of elements of a tensor of `shape`; nullopt if an extent is negative or the
// tensor's bytes don't fit in 63 bits.
std::optional<std::int64_t> checked_elements(const std::vector<std::int64_t>& shape);

// Whether the box has the tensor's number of dimensions and is inside of it. It may be empty.
bool lies_in(const Hyperslab& box, const std::vector<std::int64_t>& shape);

// "[2:4, 0:8]"
std::string to_string(const Hyperslab& box);

// Returns "" if the pieces hold each element exactly once, else what is wrong. Requires
// checked_elements(tensor.shape), and that no piece is empty.
//
// The pieces are sorted along the dimension in which they begin at the most distinct offsets, and
// two of them are compared only if they overlap in that dimension. So the time for k pieces grows
// with k log k plus the number of such pairs, which is 0 if the tensor is cut in one dimension.
std::string cover_complaint(const StoredTensor& tensor);

}  // namespace masformer::checkpoint
