// Lists on the command line, where an entry may say how often it stands: "full*8,window:256*16".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace masformer {

// Of one list, each counted as often as it stands; more is a slip of the pen.
constexpr std::int64_t max_entries = 1 << 16;

// The entries of a comma-separated list, each as often as it says after `*`, without the spaces
// around them; views of `text`. Throws UsageError, which calls the list `name` and shows `example`.
std::vector<std::string_view> expand_list(std::string_view text, std::string_view name,
                                          std::string_view example);

// A number of at least 1, and nothing else.
std::optional<std::int64_t> parse_count(std::string_view digits);

}  // namespace masformer
