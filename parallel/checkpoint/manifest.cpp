#include "parallel/checkpoint/manifest.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <system_error>

#include <fmt/ranges.h>

#include "parallel/checkpoint/manifest_text.h"
#include "parallel/checkpoint/names.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace masformer {

using namespace checkpoint;

namespace {

// What is wrong with one file; "" where nothing is.
std::string complaint_about(const std::filesystem::path& path, const StoredFile& stored) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return "missing";
  try {
    const io::File file(path, O_RDONLY);
    if (const std::int64_t bytes = file.bytes(); bytes != stored.bytes) {
      return fmt::format("{} bytes, {} were written", bytes, stored.bytes);
    }
    return io::digest_of(file) == stored.digest ? "" : "digest differs";
  } catch (const std::exception& problem) {
    return problem.what();
  }
}

}  // namespace

std::int64_t StoredTensor::elements() const {
  return whole(shape).elements();
}

Manifest read_manifest(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / manifest_name;
  if (!std::filesystem::exists(path)) {
    const bool run = std::filesystem::is_directory(directory / "checkpoints");
    refuse("{}: there is no checkpoint: {} is missing{}", directory.string(), manifest_name,
           run ? ": name one of those in its folder checkpoints" : "");
  }
  const std::string text = io::read_text(path);
  try {
    return parse_manifest(text);
  } catch (const std::exception& problem) {
    fail("{}: {}", path.string(), problem.what());
  }
}

std::vector<std::string> damaged_files(Communicator& world, const std::filesystem::path& directory,
                                       const Manifest& manifest) {
  std::vector<std::string> mine;
  int number = 0;
  for (const auto& [name, stored] : manifest.files) {
    if (number++ % world.size() != world.rank()) continue;
    const std::string complaint = complaint_about(directory / name, stored);
    if (!complaint.empty()) mine.push_back(fmt::format("{}: {}", name, complaint));
  }
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
