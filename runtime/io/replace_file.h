// Files that a reader sees whole: as they were before, or as they are afterwards.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace masformer::io {

// Creates or replaces a file: `write` writes one with the temporary name that it gets, in the same
// folder, which is then made durable and renamed. If that fails, throws, removes the temporary
// file, and leaves the old one. A path that leads to something other than a file, say a device, is
// passed to `write` as it is.
void replace_file(const std::filesystem::path& path,
                  const std::function<void(const std::filesystem::path&)>& write);
// The same with a text. Throws Error.
void replace_text(const std::filesystem::path& path, std::string_view text);

}  // namespace masformer::io
