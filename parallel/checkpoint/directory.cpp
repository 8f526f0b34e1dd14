#include "parallel/checkpoint/directory.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/ranges.h>

#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/names.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {

using namespace checkpoint;

namespace {

namespace fs = std::filesystem;

constexpr std::string_view step_prefix = "step-";

fs::path folder_of(const fs::path& run_dir) {
  return run_dir / "checkpoints";
}

std::string step_name(std::int64_t step) {
  return fmt::format("{}{:08}", step_prefix, step);
}

// The step that a folder's name says, where it is just how step_name() writes it.
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(step_prefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + step_prefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || name != step_name(step)) return std::nullopt;
  return step;
}

bool is_leftover(const std::string& name) {
  return name.starts_with(writing_prefix) || name.starts_with(replaced_prefix) ||
         name.starts_with(removing_prefix);
}

// The entries of the checkpoints' folder; none where there is no such folder.
std::vector<fs::path> entries_of(const fs::path& run_dir) {
  std::error_code error;
  const fs::path folder = folder_of(run_dir);
  std::vector<fs::path> entries;
  if (fs::status(folder, error).type() == fs::file_type::not_found) return entries;
  for (const auto& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  return entries;
}

// Takes the name away, durably, before the contents.
void remove_checkpoint(const fs::path& directory) {
  const fs::path going =
      directory.parent_path() / (std::string(removing_prefix) + directory.filename().string());
  fs::remove_all(going);
  fs::rename(directory, going);
  io::sync_folder(directory.parent_path());
  fs::remove_all(going);
}

// What is wrong with a checkpoint; "" where nothing is. Every rank reads the manifest itself.
std::string complaint_about(Communicator& world, const fs::path& directory) {
  std::string mine;
  Manifest manifest;
  try {
    manifest = read_manifest(directory);
  } catch (const std::exception& problem) {
    mine = problem.what();
  }
  for (const std::string& complaint : world.all_gather(mine)) {
    if (!complaint.empty()) return complaint;
  }
  return fmt::format("{}", fmt::join(damaged_files(world, directory, manifest), "; "));
}

// What rank 0 sees, newest first, on all ranks.
std::vector<std::int64_t> agreed_steps(Communicator& world, const fs::path& run_dir) {
  std::string complaint;
  std::vector<std::int64_t> steps;
  try {
    if (world.rank() == 0) {
      for (const auto& [step, path] : list_checkpoints(run_dir)) steps.push_back(step);
    }
  } catch (const std::exception& problem) {
    complaint = problem.what();
  }
  throw_collectively(world, complaint, /*failure=*/true);
  steps = all_gather_json(world, steps).front().get<std::vector<std::int64_t>>();
  std::reverse(steps.begin(), steps.end());
  return steps;
}

}  // namespace

fs::path checkpoint_path(const fs::path& run_dir, std::int64_t step) {
  return folder_of(run_dir) / step_name(step);
}

std::map<std::int64_t, fs::path> list_checkpoints(const fs::path& run_dir) {
  std::map<std::int64_t, fs::path> found;
  for (const fs::path& entry : entries_of(run_dir)) {
    const auto step = step_of(entry.filename().string());
    if (step && fs::is_directory(entry)) found.emplace(*step, entry);
  }
  return found;
}

std::optional<FoundCheckpoint> find_newest(Communicator& world, const fs::path& run_dir) {
  FoundCheckpoint found;
  for (const std::int64_t step : agreed_steps(world, run_dir)) {
    found.directory = checkpoint_path(run_dir, step);
    const std::string complaint = complaint_about(world, found.directory);
    if (complaint.empty()) return found;
    found.skipped.push_back(step_name(step) + ": " + complaint);
  }
  if (found.skipped.empty()) return std::nullopt;
  throw AgreedError(fmt::format(
      "no checkpoint in {} is undamaged:\n  {}\nmove them away to start afresh, or name another "
      "one to resume from",
      folder_of(run_dir).string(), fmt::join(found.skipped, "\n  ")));
}

void prune_checkpoints(const fs::path& run_dir, std::int64_t keep) {
  for (const fs::path& entry : entries_of(run_dir)) {
    if (is_leftover(entry.filename().string())) fs::remove_all(entry);
  }
  const auto found = list_checkpoints(run_dir);
  if (keep <= 0) return;
  std::size_t surplus = found.size() - std::min(found.size(), static_cast<std::size_t>(keep));
  for (const auto& [step, path] : found) {
    if (surplus-- == 0) break;
    remove_checkpoint(path);
  }
}

}  // namespace masformer
