// What helps where a split of a token store is too short for one sample.
#pragma once

#include <cstdint>
#include <string>

#include "data/split.h"

namespace masformer {

// The remedy, to follow a message's colon: that of the option which can help, since no
// data.held_out makes more of one document or of a store that is too short as a whole. `sequence`:
// tokens per sample.
std::string short_split_remedy(const TokenStore& store, SplitKind kind, std::int64_t sequence);

}  // namespace masformer
