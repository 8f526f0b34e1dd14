// Fields of JSON that a run wrote and that may be damaged: what is missing, or of another type, has
// a default.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace masformer {

// As words, without quotes; "" if it is missing or null.
std::string words_of(const nlohmann::json& object, const std::string& key);
// 0 if it is no number.
double number_of(const nlohmann::json& object, const std::string& key);
// An empty list or object if it is none.
nlohmann::json list_of(const nlohmann::json& object, const std::string& key);
nlohmann::json object_of(const nlohmann::json& object, const std::string& key);

}  // namespace masformer
