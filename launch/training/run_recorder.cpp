#include "launch/training/run_recorder.h"

#include <charconv>
#include <fstream>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "launch/output/standard_streams.h"
#include "parallel/comm/clock_offset.h"
#include "parallel/comm/json_text.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"

namespace masformer {
namespace fs = std::filesystem;

LiveRecordings::LiveRecordings(const fs::path& run_dir)
    : folder("/dev/shm"),
      prefix(fmt::format("masformer-{}-{}", getuid(),
                         io::digest_of(fs::weakly_canonical(fs::absolute(run_dir)).string()))) {
  if (access(folder.c_str(), W_OK) != 0) folder = fs::temp_directory_path();
}

std::string LiveRecordings::prefix_of(int rank) const {
  return fmt::format("{}-rank-{:05}-", prefix, rank);
}

fs::path kept_recording(const fs::path& run_dir, int rank) {
  return run_dir / "recordings" / fmt::format("rank-{:05}.bin", rank);
}

namespace {

// Whether a file is the kept recording of a rank beyond the first `ranks`.
bool is_of_rank_beyond(const fs::path& path, int ranks) {
  constexpr std::string_view prefix = "rank-", suffix = ".bin";
  const std::string name = path.filename().string();
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  const char* const end = name.data() + name.size() - suffix.size();
  int rank = 0;
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, rank);
  return error == std::errc() && stop == end && rank >= ranks;
}

// A random text of this start of the host's system; "" if it does not say.
std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

template <class Condition>
void remove_files(const fs::path& folder, const Condition& condition) {
  std::error_code error, ignored;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (condition(entry->path())) fs::remove(entry->path(), ignored);
  }
}

}  // namespace

RunRecorder::RunRecorder(int rank, const Mesh& mesh, fs::path run_dir)
    : rank_(rank), ranks_(mesh.size()), run_dir_(std::move(run_dir)) {
  const Coordinate at = mesh.coordinate(rank);
  try {
    live_.emplace(run_dir_);
    recorder_.emplace(live_->folder / fmt::format("{}{}.bin", live_->prefix_of(rank), getpid()),
                      RecordedRank{rank, mesh.size(), at.pipe, at.data, at.context, at.tensor});
  } catch (const std::exception& error) {
    print_message("rank {} records nothing: {}\n", rank, error.what());
  }
}

void RunRecorder::align_clocks(Communicator& world, const std::string& host) {
  const std::int64_t to_first = clock_offset(world, host + boot_id(), Recorder::now);
  const std::int64_t own = recorder_ ? recorder_->clock_offset() : 0;
  const std::int64_t of_first = all_gather_json(world, own)[0];
  if (recorder_ && of_first != 0) recorder_->set_clock_offset(of_first + to_first);
}

void RunRecorder::keep() {
  if (!recorder_) return;
  kept_ = true;
  const std::string own = live_->prefix_of(rank_);
  remove_files(live_->folder, [&](const fs::path& path) {
    return path.filename().string().starts_with(own) && path != recorder_->path();
  });
  if (rank_ > 0) return;
  remove_files(kept_recording(run_dir_, 0).parent_path(),
               [&](const fs::path& path) { return is_of_rank_beyond(path, ranks_); });
}

RunRecorder::~RunRecorder() {
  if (!recorder_) return;
  const fs::path live = recorder_->path(), kept = kept_recording(run_dir_, rank_);
  recorder_.reset();
  std::error_code error;
  if (kept_) {
    fs::create_directories(kept.parent_path(), error);
    if (!error) fs::copy_file(live, kept, fs::copy_options::overwrite_existing, error);
    if (error) {
      std::error_code ignored;
      fs::remove(kept, ignored);  // half of it would only take room
      print_message("rank {}: can't keep its recording in {}: {}\n", rank_, kept.string(),
                    error.message());
    }
  }
  fs::remove(live, error);
}

}  // namespace masformer
