// JSON as text, for messages between ranks and for printing. Each source that calls nlohmann's
// parser or writer takes seconds more to compile, so prefer these functions.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parallel/comm/communicator.h"

namespace masformer {

// On one line. Replaces bytes that are not UTF-8 by U+FFFD.
std::string json_line(const nlohmann::json& value);
// The same for people: a string has no quotes.
std::string json_words(const nlohmann::json& value);

// Collective. Returns the values of all ranks, in the order of ranks, on every rank.
std::vector<nlohmann::json> all_gather_json(Communicator& ranks, const nlohmann::json& own);

}  // namespace masformer
