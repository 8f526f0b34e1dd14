#include "parallel/checkpoint/manifest.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <system_error>

#include <fmt/ranges.h>

#include "parallel/checkpoint/manifest_text.h"
#include "parallel/checkpoint/names.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace masformer {

using namespace checkpoint;

namespace {

// What is damaged in one file; "" if nothing is. Throws SystemError if it can't be read.
std::string damage_of(const std::filesystem::path& path, const StoredFile& stored) {
  try {
    const io::File file(path, O_RDONLY);
    if (const std::int64_t bytes = file.bytes(); bytes != stored.bytes) {
      return fmt::format("{} bytes instead of {}", bytes, stored.bytes);
    }
    return io::digest_of(file) == stored.digest ? "" : "digest differs";
  } catch (const io::SystemError& error) {
    if (error.code() == ENOENT) return "missing";
    throw;
  }
}

// The text of a manifest. Throws UsageError if there is none.
std::string read_manifest_text(const std::filesystem::path& directory) {
  try {
    return io::read_text(directory / manifest_name);
  } catch (const io::SystemError& error) {
    if (error.code() != ENOENT && error.code() != ENOTDIR) throw;
  }
  std::error_code ignored;
  const bool run = std::filesystem::is_directory(directory / "checkpoints", ignored);
  refuse("{} is not a checkpoint: it has no {}{}", directory.string(), manifest_name,
         run ? fmt::format("; it is a run folder: use one of {}/checkpoints/step-*",
                           directory.string())
             : "");
}

}  // namespace

std::int64_t StoredTensor::elements() const {
  return whole(shape).elements();
}

Manifest read_manifest(const std::filesystem::path& directory) {
  const std::string text = read_manifest_text(directory);
  try {
    return parse_manifest(text);
  } catch (const Error& problem) {
    fail("{}: {}", (directory / manifest_name).string(), problem.what());
  }
}

std::vector<std::string> damaged_files(Communicator& world, const std::filesystem::path& directory,
                                       const Manifest& manifest) {
  const std::vector<std::string> mine = run_collectively(world, [&] {
    std::vector<std::string> damaged;
    std::vector<std::string> unreadable;
    int number = 0;
    for (const auto& [name, stored] : manifest.files) {
      if (number++ % world.size() != world.rank()) continue;
      try {
        const std::string damage = damage_of(directory / name, stored);
        if (!damage.empty()) damaged.push_back(fmt::format("{}: {}", name, damage));
      } catch (const io::SystemError& error) {
        unreadable.emplace_back(error.what());
      }
    }
    if (!unreadable.empty()) fail("{}", fmt::join(unreadable, "\n"));
    return damaged;
  });
  std::vector<std::string> all;
  for (const nlohmann::json& theirs : all_gather_json(world, mine)) {
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

void require_undamaged(Communicator& world, const std::filesystem::path& directory,
                       const Manifest& manifest) {
  const auto damaged = damaged_files(world, directory, manifest);
  if (damaged.empty()) return;
  throw AgreedError(
      fmt::format("checkpoint {} is damaged:\n{}", directory.string(), fmt::join(damaged, "\n")));
}

}  // namespace masformer
