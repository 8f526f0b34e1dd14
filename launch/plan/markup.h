// Text inside of HTML and SVG.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

// The text with &, <, >, " and ' as entities: as content and as the value of an attribute, it is
// nothing but text.
inline std::string escape_markup(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace masformer
