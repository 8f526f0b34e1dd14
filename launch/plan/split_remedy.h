// The remedy if a split of a token store is too short for one sample.
#pragma once

#include <cstdint>
#include <string>

#include "data/split.h"

namespace masformer {

// Returns the remedy to print after a message's colon. It names only what can help: changing
// data.held_out does not if the store has one document or is too short altogether. `sequence`:
// tokens per sample.
std::string short_split_remedy(const TokenStore& store, SplitKind kind, std::int64_t sequence);

}  // namespace masformer
