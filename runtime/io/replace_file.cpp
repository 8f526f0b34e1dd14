#include "runtime/io/replace_file.h"

#include <fcntl.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "runtime/io/file.h"

namespace masformer::io {
namespace fs = std::filesystem;

void replace_file(const fs::path& path, const std::function<void(const fs::path&)>& write) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    write(path);
    return;
  }
  const fs::path target = fs::exists(status) ? fs::canonical(path) : path;
  const fs::path temporary = fmt::format("{}.writing-{}", target.string(), getpid());
  try {
    write(temporary);
    File(temporary, O_RDONLY).sync();
    fs::rename(temporary, target, error);
    if (error) fail_for_errno("replace", target, error.value());
  } catch (...) {
    fs::remove(temporary, error);
    throw;
  }
}

void replace_text(const fs::path& path, std::string_view text) {
  replace_file(path, [&](const fs::path& written) { write_text_durably(written, text); });
}

}  // namespace masformer::io
