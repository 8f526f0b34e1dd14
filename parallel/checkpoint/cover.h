// Do boxes tile a tensor? Without looking at elements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/checkpoint/manifest.h"
#include "parallel/sharding.h"

namespace masformer::checkpoint {

// The number of elements of a tensor of `shape`; none where an extent is negative or the tensor's
// bytes don't fit in 63 bits.
std::optional<std::int64_t> checked_elements(const std::vector<std::int64_t>& shape);

// Whether the box has the tensor's number of dimensions and stays inside; an empty box may.
bool lies_in(const Hyperslab& box, const std::vector<std::int64_t>& shape);

// "[2:4, 0:8]"
std::string to_string(const Hyperslab& box);

// What keeps the pieces, none of which is empty, from holding each element exactly once; "" where
// nothing does. Requires checked_elements(tensor.shape). Pieces are compared only where they meet
// along the dimension that they are most cut in: k pieces cost k log k and the meetings.
std::string cover_complaint(const StoredTensor& tensor);

}  // namespace masformer::checkpoint
