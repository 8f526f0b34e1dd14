#include "runtime/repeated_list.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "runtime/error.h"
#include "runtime/trimmed.h"

namespace masformer {

std::optional<std::int64_t> parse_count(std::string_view digits) {
  std::int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end || value < 1) return std::nullopt;
  return value;
}

std::vector<std::string_view> expand_list(std::string_view text, std::string_view name,
                                          std::string_view example) {
  std::vector<std::string_view> entries;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view entry = trimmed(text.substr(begin, end - begin));
    if (entry.empty()) refuse("{} \"{}\" has an empty entry: write as in {}", name, text, example);
    const std::size_t star = entry.find('*');
    std::optional<std::int64_t> repeats = 1;
    if (star != std::string_view::npos) repeats = parse_count(entry.substr(star + 1));
    if (!repeats || *repeats > max_entries) {
      refuse("\"{}\" in {} \"{}\" does not say how often: write a number from 1 to {} after *",
             entry, name, text, max_entries);
    }
    if (std::ssize(entries) + *repeats > max_entries) {
      refuse("{} \"{}\" has more than {} entries: write a shorter list", name, text, max_entries);
    }
    entries.insert(entries.end(), static_cast<std::size_t>(*repeats), entry.substr(0, star));
    begin = end + 1;
  }
  return entries;
}

}  // namespace masformer
