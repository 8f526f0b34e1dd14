#include "parallel/checkpoint/writer.h"

#include <functional>
#include <system_error>

#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/checkpoint/names.h"
#include "parallel/checkpoint/shard_file.h"
#include "parallel/checkpoint/shard_plan.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {

using namespace checkpoint;

namespace {

namespace fs = std::filesystem;

// The folders that one save uses. They stand in one folder, so that renames are atomic.
struct Places {
  fs::path target;
  fs::path working;
  fs::path replaced;

  explicit Places(const fs::path& directory) {
    target = fs::absolute(directory).lexically_normal();
    if (!target.has_filename()) target = target.parent_path();
    working = beside(writing_prefix);
    replaced = beside(replaced_prefix);
  }
  fs::path beside(std::string_view prefix) const {
    return target.parent_path() / (std::string(prefix) + target.filename().string());
  }
};

// What keeps this rank from going on; "" where nothing does.
std::string complaint_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const std::exception& problem) {
    return *problem.what() != '\0' ? problem.what() : "an error without a message";
  }
}

// Does the work, then waits for all ranks; throws on all where it failed on any.
void together(Communicator& world, const std::function<void()>& work) {
  throw_collectively(world, complaint_of(work), /*failure=*/true);
}

void start(const Places& places) {
  io::create_folder(places.target.parent_path());
  fs::remove_all(places.working);  // of a save that was interrupted
  io::create_folder(places.working);
}

// Returns what rank 0 needs to list the file; null where this rank stores nothing and makes none.
nlohmann::json write_shard(const fs::path& path, const ShardPlan& plan,
                           const std::vector<TensorPiece>& pieces) {
  if (plan.bytes == 0) return nullptr;
  ShardWriter writer(path, plan.bytes);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (plan.datasets[i].empty()) continue;
    writer.write(plan.datasets[i], pieces[i].global_shape, pieces[i].slab, pieces[i].data);
  }
  const StoredFile file = writer.finish();
  return {{"bytes", file.bytes}, {"digest", file.digest}};
}

void add_files(Manifest& manifest, const std::vector<nlohmann::json>& reports) {
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    const nlohmann::json& file = reports[rank];
    if (file.is_null()) continue;
    manifest.files[shard_name(static_cast<int>(rank))] = {file.at("bytes"), file.at("digest")};
  }
}

// Puts the working folder at its place by one rename. What stands there steps aside first, and
// back where that fails.
void commit(const Places& places) {
  const bool replaces = fs::exists(places.target);
  if (replaces) {
    fs::remove_all(places.replaced);
    fs::rename(places.target, places.replaced);
  }
  std::error_code error;
  fs::rename(places.working, places.target, error);
  if (error && replaces) fs::rename(places.replaced, places.target);
  if (error) io::fail_for_errno("commit", places.target, error.value());
  io::sync_folder(places.target.parent_path());
  std::error_code left_to_prune;
  if (replaces) fs::remove_all(places.replaced, left_to_prune);
}

// Each step ends with all ranks knowing whether it went well everywhere.
void write_in_steps(Communicator& world, const Places& places, Manifest& manifest,
                    const ShardPlan& plan, const std::vector<TensorPiece>& pieces) {
  const bool first = world.rank() == 0;
  together(world, [&] {
    if (first) start(places);
  });
  nlohmann::json report;
  together(world,
           [&] { report = write_shard(places.working / shard_name(world.rank()), plan, pieces); });
  const std::vector<nlohmann::json> reports = all_gather_json(world, report);
  together(world, [&] {
    if (!first) return;
    add_files(manifest, reports);
    io::write_text_durably(places.working / manifest_name, to_text(manifest));
    io::sync_folder(places.working);
    commit(places);
  });
}

}  // namespace

void write_checkpoint(Communicator& world, const std::filesystem::path& directory,
                      const nlohmann::json& attributes, const std::vector<TensorPiece>& pieces) {
  const Places places(directory);
  const bool first = world.rank() == 0;
  ShardPlan plan;
  std::string plan_text;
  together(world, [&] {
    plan = plan_shard(shard_name(world.rank()), pieces);
    plan_text = to_text(plan.tensors);
  });
  const std::vector<std::string> plans = world.all_gather(plan_text);
  Manifest manifest;
  together(world, [&] {
    if (first) manifest = merge_plans(attributes, plans);
  });
  try {
    write_in_steps(world, places, manifest, plan, pieces);
  } catch (const Error&) {
    // All ranks are here, and none writes any more.
    std::error_code ignored;
    if (first) fs::remove_all(places.working, ignored);
    world.barrier();
    throw;
  }
}

}  // namespace masformer
