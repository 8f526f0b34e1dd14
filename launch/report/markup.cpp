#include "launch/report/markup.h"

#include <fmt/format.h>

#include "launch/plan/markup.h"
#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

std::string row_markup(const std::vector<std::string>& cells, const char* element) {
  std::string text = "<tr>";
  for (const std::string& cell : cells) {
    text += fmt::format("<{0}>{1}</{0}>", element, escape_markup(cell));
  }
  return text + "</tr>\n";
}

}  // namespace

std::string table_markup(const TextTable& table) {
  std::string text = "<div class=\"scroll\"><table>\n";
  if (!table.head.empty()) text += "<thead>" + row_markup(table.head, "th") + "</thead>\n";
  text += "<tbody>\n";
  for (const auto& row : table.rows) text += row_markup(row, "td");
  return text + "</tbody></table></div>\n";
}

std::string folded_markup(const std::string& label, const TextTable& table) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escape_markup(label),
                     table_markup(table));
}

std::string script_json(const nlohmann::json& json) {
  std::string text;
  for (const char c : json_line(json)) {
    if (c == '<') {
      text += "\\u003c";  // only strings have it
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace masformer
