#include "parallel/comm/json_text.h"

namespace masformer {

std::string json_line(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_words(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : json_line(value);
}

std::vector<nlohmann::json> all_gather_json(Communicator& ranks, const nlohmann::json& own) {
  std::vector<nlohmann::json> all;
  for (const std::string& text : ranks.all_gather(json_line(own))) {
    all.push_back(nlohmann::json::parse(text));
  }
  return all;
}

}  // namespace masformer
