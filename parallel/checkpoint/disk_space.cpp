#include "parallel/checkpoint/disk_space.h"

#include <map>
#include <sys/statvfs.h>
#include <system_error>

#include "parallel/checkpoint/names.h"

namespace masformer::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string mebibytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::int64_t bytes_in(const fs::path& folder) {
  std::int64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code unreadable;
    const bool file = entries->is_regular_file(unreadable);
    const auto size = file ? entries->file_size(unreadable) : 0;
    if (!unreadable) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

// Says what a folder of this name is used for; empty if it is not a folder of a checkpoint.
std::string purpose_of(const std::string& name) {
  if (is_leftover(name)) return "left by an interrupted save or removal; delete it";
  if (name.starts_with("set-aside-")) return "set aside; no run reads it";
  return name.starts_with("step-") ? "a checkpoint" : "";
}

// One line per folder, sorted by name.
std::map<std::string, std::string> lines_about(const fs::path& folder) {
  std::map<std::string, std::string> lines;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const std::string purpose = purpose_of(name);
    if (purpose.empty()) continue;
    lines[name] =
        fmt::format("\n  {}: {}, {}", name, mebibytes(bytes_in(entries->path())), purpose);
  }
  return lines;
}

}  // namespace

std::string describe_disk_space(const fs::path& folder, std::int64_t needed) {
  std::string text = "a checkpoint takes " + mebibytes(needed);
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) == 0) {
    text += fmt::format(", and {} are free",
                        mebibytes(static_cast<std::int64_t>(disk.f_bavail * disk.f_frsize)));
  }
  const auto lines = lines_about(folder);
  text += fmt::format("; {} holds{}", folder.string(), lines.empty() ? " no checkpoint" : ":");
  constexpr std::size_t max_lines = 20;
  std::size_t shown = 0;
  for (const auto& [name, line] : lines) {
    if (shown++ == max_lines) break;
    text += line;
  }
  if (lines.size() > max_lines) text += fmt::format("\n  and {} more", lines.size() - max_lines);
  return text;
}

}  // namespace masformer::checkpoint
