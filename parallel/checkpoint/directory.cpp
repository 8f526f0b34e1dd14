#include "parallel/checkpoint/directory.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/ranges.h>

#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/names.h"
#include "parallel/comm/collective_errors.h"
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

// Parses the step from a folder's name. Returns nothing if the name is not exactly step_name(step).
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(step_prefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + step_prefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || name != step_name(step)) return std::nullopt;
  return step;
}

// The entries of a folder; empty if it does not exist.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  if (fs::status(folder, error).type() == fs::file_type::not_found) return entries;
  for (const auto& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  return entries;
}

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) io::fail_for_errno("remove", folder, error.value());
}

// Renames the folder first, durably, so that no step-* folder is ever incomplete.
void remove_checkpoint(const fs::path& directory) {
  const fs::path going =
      directory.parent_path() / (std::string(removing_prefix) + directory.filename().string());
  remove_folder(going);
  fs::rename(directory, going);
  io::sync_folder(directory.parent_path());
  remove_folder(going);
}

// Returns what is damaged in a checkpoint; "" if it is good. Throws AgreedError if a file can't be
// read for another reason, because the checkpoint may be good, and resuming from an older one would
// repeat steps.
std::string damage_of(Communicator& world, const fs::path& directory) {
  try {
    std::string damage;
    const Manifest manifest = run_collectively(world, [&]() -> Manifest {
      try {
        return read_manifest(directory);
      } catch (const io::SystemError&) {
        throw;
      } catch (const Error& problem) {
        damage = problem.what();
        return {};
      }
    });
    for (const std::string& found : world.all_gather(damage)) {
      if (!found.empty()) return found;
    }
    return fmt::format("{}", fmt::join(damaged_files(world, directory, manifest), "; "));
  } catch (const AgreedError& problem) {
    throw AgreedError(fmt::format(
        "{}\nthe newest checkpoint may be good, but can't be read; make {} readable, or "
        "move it away to resume from an older one",
        problem.what(), directory.string()));
  }
}

// Returns on all ranks the steps that rank 0 finds, newest first.
std::vector<std::int64_t> agreed_steps(Communicator& world, const fs::path& run_dir) {
  std::vector<std::int64_t> steps;
  on_first_rank(world, [&] {
    for (const auto& [step, path] : list_checkpoints(run_dir)) steps.push_back(step);
  });
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
  for (const fs::path& entry : entries_of(folder_of(run_dir))) {
    const auto step = step_of(entry.filename().string());
    if (step && fs::is_directory(entry)) found.emplace(*step, entry);
  }
  return found;
}

std::optional<FoundCheckpoint> find_newest(Communicator& world, const fs::path& run_dir) {
  FoundCheckpoint found;
  for (const std::int64_t step : agreed_steps(world, run_dir)) {
    found.directory = checkpoint_path(run_dir, step);
    const std::string damage = damage_of(world, found.directory);
    if (damage.empty()) return found;
    found.skipped.push_back(step_name(step) + ": " + damage);
  }
  if (found.skipped.empty()) return std::nullopt;
  throw AgreedError(
      fmt::format("no checkpoint in {} is undamaged:\n  {}\nmove them away to start a new run, or "
                  "name a checkpoint to resume from",
                  folder_of(run_dir).string(), fmt::join(found.skipped, "\n  ")));
}

std::vector<std::string> remove_leftovers(const fs::path& folder) {
  std::vector<std::string> removed;
  for (const fs::path& entry : entries_of(folder)) {
    if (!is_leftover(entry.filename().string())) continue;
    remove_folder(entry);
    removed.push_back(entry.filename().string());
  }
  return removed;
}

void prune_checkpoints(const fs::path& run_dir, std::int64_t keep) {
  remove_leftovers(folder_of(run_dir));
  const auto found = list_checkpoints(run_dir);
  if (keep <= 0) return;
  std::size_t surplus = found.size() - std::min(found.size(), static_cast<std::size_t>(keep));
  for (const auto& [step, path] : found) {
    if (surplus-- == 0) break;
    remove_checkpoint(path);
  }
}

}  // namespace masformer
