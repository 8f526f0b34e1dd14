#include "launch/report/json_fields.h"

#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

// Null if it is missing.
nlohmann::json field_of(const nlohmann::json& object, const std::string& key) {
  return object.is_object() && object.contains(key) ? object[key] : nlohmann::json();
}

}  // namespace

std::string words_of(const nlohmann::json& object, const std::string& key) {
  const nlohmann::json field = field_of(object, key);
  return field.is_null() ? "" : json_words(field);
}

double number_of(const nlohmann::json& object, const std::string& key) {
  const nlohmann::json field = field_of(object, key);
  return field.is_number() ? field.get<double>() : 0;
}

nlohmann::json list_of(const nlohmann::json& object, const std::string& key) {
  nlohmann::json field = field_of(object, key);
  return field.is_array() ? field : nlohmann::json::array();
}

nlohmann::json object_of(const nlohmann::json& object, const std::string& key) {
  nlohmann::json field = field_of(object, key);
  return field.is_object() ? field : nlohmann::json::object();
}

}  // namespace masformer
