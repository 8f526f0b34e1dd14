// JSON as text: what ranks tell each other, and what is printed. nlohmann's parser and its writer
// take each source that calls them seconds to compile: those that can go by this one.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parallel/comm/communicator.h"

namespace masformer {

// On one line. What is not UTF-8 is replaced.
std::string json_line(const nlohmann::json& value);
// The same for people: a string stands without its quotes.
std::string json_words(const nlohmann::json& value);

// What each rank gives, in the order of ranks, on every rank. Collective.
std::vector<nlohmann::json> all_gather_json(Communicator& ranks, const nlohmann::json& own);

}  // namespace masformer
