// Pieces of a report's HTML. All text is escaped here, so that no name in a run can become markup.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace masformer {

struct TextTable {
  std::vector<std::string> head{};
  std::vector<std::vector<std::string>> rows{};  // as wide as the head
};

// A table that scrolls by itself where it is too wide. Its first column names the rows.
std::string table_markup(const TextTable& table);
// The table behind a line that opens it.
std::string folded_markup(const std::string& label, const TextTable& table);

// JSON for a <script> element: no text in it can end the element.
std::string script_json(const nlohmann::json& json);

}  // namespace masformer
