// The names of a checkpoint's files, and of its folder while it comes and goes.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace masformer::checkpoint {

inline constexpr std::string_view manifest_name = "manifest.json";

// Folders beside step-*, named by one of these and the name of the checkpoint. None holds what
// anybody needs once the step that made it has ended.
inline constexpr std::string_view writing_prefix = ".writing-";  // not yet committed
inline constexpr std::string_view replaced_prefix =
    ".replaced-";  // gave way to another of its name
inline constexpr std::string_view removing_prefix = ".removing-";  // half removed

inline std::string shard_name(int rank) {
  return fmt::format("shard-{:05}.h5", rank);
}

}  // namespace masformer::checkpoint
