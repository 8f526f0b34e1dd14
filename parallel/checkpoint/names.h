// The names of a checkpoint's files, and of its folder while it is written or removed.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace masformer::checkpoint {

inline constexpr std::string_view manifest_name = "manifest.json";

// Other folders next to step-*: their names are one of these prefixes and the checkpoint's name.
inline constexpr std::string_view writing_prefix = ".writing-";    // not yet committed
inline constexpr std::string_view replaced_prefix = ".replaced-";  // replaced by a new one
inline constexpr std::string_view removing_prefix = ".removing-";  // partly removed

// Whether a folder has such a name. If no save or removal is running, it is a leftover of an
// interrupted one and can be deleted.
inline bool is_leftover(std::string_view name) {
  return name.starts_with(writing_prefix) || name.starts_with(replaced_prefix) ||
         name.starts_with(removing_prefix);
}

inline std::string shard_name(int rank) {
  return fmt::format("shard-{:05}.h5", rank);
}

}  // namespace masformer::checkpoint
