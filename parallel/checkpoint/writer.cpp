#include "parallel/checkpoint/writer.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <type_traits>

#include "parallel/checkpoint/disk_space.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/checkpoint/names.h"
#include "parallel/checkpoint/shard_file.h"
#include "parallel/checkpoint/shard_plan.h"
#include "parallel/comm/collective_errors.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {

using namespace checkpoint;

namespace {

namespace fs = std::filesystem;

// The folders that one save uses, all in one parent, so that renames are atomic.
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
  fs::path folder() const { return target.parent_path(); }

 private:
  fs::path beside(std::string_view prefix) const {
    return folder() / (std::string(prefix) + target.filename().string());
  }
};

void start(const Places& places) {
  io::create_folder(places.folder());
  fs::remove_all(places.working);  // left by an interrupted save
  io::create_folder(places.working);
}

// Writes this rank's shard. Returns its size and digest for the manifest; null, and no file, if the
// rank stores nothing.
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

// Renames the working folder to the target. A checkpoint that is already there is renamed first,
// and gets its name back if the commit fails.
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
  io::sync_folder(places.folder());
  std::error_code left_to_prune;
  if (replaces) fs::remove_all(places.replaced, left_to_prune);
}

// One save, in steps. After each step all ranks know whether it succeeded on every rank.
class Save {
 public:
  Save(Communicator& world, const fs::path& directory) : world_(world), places_(directory) {}

  void plan(const nlohmann::json& attributes, const std::vector<TensorPiece>& pieces) {
    const std::string own = step([&] {
      plan_ = plan_shard(shard_name(world_.rank()), pieces);
      return to_text(plan_.tensors);
    });
    const std::vector<std::string> plans = world_.all_gather(own);
    first_rank_step([&] { manifest_ = merge_plans(attributes, plans); });
  }

  void write(const std::vector<TensorPiece>& pieces) {
    first_rank_step([&] { start(places_); });
    const nlohmann::json report = step(
        [&] { return write_shard(places_.working / shard_name(world_.rank()), plan_, pieces); });
    const std::vector<nlohmann::json> reports = all_gather_json(world_, report);
    first_rank_step([&] {
      add_files(manifest_, reports);
      io::write_text_durably(places_.working / manifest_name, to_text(manifest_));
      io::sync_folder(places_.working);
      commit(places_);
    });
  }

  // Removes what was written. Called on all ranks after a step failed on all.
  void clean_up() {
    std::error_code ignored;
    if (world_.rank() == 0) fs::remove_all(places_.working, ignored);
  }

  // If the disk was full on any rank, says what it holds; else "". Collective.
  std::string explain_full_disk() {
    const auto full = world_.all_gather(disk_full_ ? "full" : "");
    if (std::ranges::all_of(full, &std::string::empty)) return "";
    std::string text;
    if (world_.rank() == 0) text = "\n" + describe_disk_space(places_.folder(), bytes());
    return world_.all_gather(text)[0];
  }

 private:
  template <class Work>
  std::invoke_result_t<Work> step(Work work) {
    return run_collectively(world_, [&] {
      try {
        return work();
      } catch (const io::SystemError& error) {
        disk_full_ = error.code() == ENOSPC || error.code() == EDQUOT;
        throw;
      }
    });
  }
  template <class Work>
  void first_rank_step(Work work) {
    step([&] {
      if (world_.rank() == 0) work();
    });
  }
  // The bytes of all tensors. Call it on rank 0.
  std::int64_t bytes() const {
    std::int64_t elements = 0;
    for (const auto& [name, tensor] : manifest_.tensors) elements += tensor.elements();
    return elements * static_cast<std::int64_t>(sizeof(float));
  }

  Communicator& world_;
  Places places_;
  ShardPlan plan_;
  Manifest manifest_;  // on rank 0
  bool disk_full_ = false;
};

}  // namespace

void write_checkpoint(Communicator& world, const std::filesystem::path& directory,
                      const nlohmann::json& attributes, const std::vector<TensorPiece>& pieces) {
  Save save(world, directory);
  save.plan(attributes, pieces);
  try {
    save.write(pieces);
  } catch (const AgreedError& error) {
    // All ranks have failed together, so none writes any more.
    save.clean_up();
    throw AgreedError(error.what() + save.explain_full_disk());
  }
}

}  // namespace masformer
