// Lists in options whose entries may say how often they are repeated: "full*8,window:256*16".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

// The limit on entries of one list after repetition. A longer list is treated as a typing error.
constexpr std::int64_t max_entries = 1 << 16;

// The entries of a comma-separated list, each repeated as often as it says after `*`, without the
// spaces around them. They are views of `text`. Throws UsageError that calls the list `name` and
// shows `example`.
std::vector<std::string_view> expand_list(std::string_view text, std::string_view name,
                                          std::string_view example);

// The inverse: equal neighbours become one entry, as text_of() writes it, with their number.
template <class T, class TextOf>
std::string to_repeated_list(const std::vector<T>& values, const TextOf& text_of) {
  std::string text;
  for (std::size_t begin = 0; begin < values.size();) {
    std::size_t end = begin + 1;
    while (end < values.size() && values[end] == values[begin]) ++end;
    if (begin > 0) text += ',';
    text += text_of(values[begin]);
    if (end - begin > 1) text += "*" + std::to_string(end - begin);
    begin = end;
  }
  return text;
}

// Parses all of `digits` as a number. Returns nothing unless it is a number of at least 1.
std::optional<std::int64_t> parse_count(std::string_view digits);

}  // namespace masformer
