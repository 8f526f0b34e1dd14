// Resuming from disks and files as users find them: full, unreadable, damaged, or written by
// another program.
#include <cstdint>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "parallel/checkpoint/manifest_text.h"
#include "runtime/io/file.h"
#include "tests/support/small_disk.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

Training to_step(int last, const std::vector<std::string>& options = {}) {
  Training training{.tensor = 2,
                    .options = {"--train.steps", std::to_string(last), "--checkpoint.every", "4",
                                "--checkpoint.keep", "1"}};
  training.options.insert(training.options.end(), options.begin(), options.end());
  return training;
}

std::int64_t bytes_in(const fs::path& folder) {
  std::int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    bytes += static_cast<std::int64_t>(entry.file_size());
  }
  return bytes;
}

void expect_says(const Finished& finished, const std::string& text) {
  EXPECT_NE(finished.output.find(text), std::string::npos) << "no \"" << text << "\" in:\n"
                                                           << finished.output;
}

// The disk has room for two and a half checkpoints beside the recordings; `checkpoint.keep` 1 needs
// two. Leftovers of kills (an unfinished removal, a checkpoint that was not removed) must not make
// a run fail.
TEST(ResumeOnASmallDisk, MakesRoomThatAKilledRunDidNotMake) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "measured", to_step(4)).status, 0);
  const std::int64_t of_checkpoint = bytes_in(checkpoint(scratch, "measured", 4));
  const SmallDisk disk(of_checkpoint * 5 / 2 + bytes_in(scratch.path("measured") / "recordings"));
  if (!disk.mounted()) GTEST_SKIP() << no_small_disk;
  const std::string run = (disk.path() / "run").string();
  const fs::path folder = disk.path() / "run" / "checkpoints";
  ASSERT_EQ(train(scratch, run, to_step(8)).status, 0);
  fs::copy(folder / "step-00000008", folder / ".removing-step-00000004");
  const Finished after_removal = train(scratch, run, to_step(12));
  ASSERT_EQ(after_removal.status, 0) << after_removal.output;
  expect_says(after_removal, "removed " + (folder / ".removing-step-00000004").string() + ", left");
  fs::copy(folder / "step-00000012", folder / "step-00000008");
  const Finished after_commit = train(scratch, run, to_step(16));
  ASSERT_EQ(after_commit.status, 0) << after_commit.output;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);

  fs::copy(folder / "step-00000016", folder / "set-aside-1-step-00000020");
  const Finished full = train(scratch, run, to_step(20));
  EXPECT_EQ(full.status, 1) << full.output;
  expect_says(full, "No space left on device");
  expect_says(full, "a checkpoint takes ");
  expect_says(full, "\n  set-aside-1-step-00000020: ");
  expect_says(full, "\n  step-00000016: ");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 2);
}

// Neither sets the checkpoint aside nor repeats its steps from an older one.
TEST(Resume, StopsAtACheckpointThatItCanNotRead) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", to_step(8, {})).status, 0);
  const fs::path newest = checkpoint(scratch, "run", 8);
  for (const char* const file : {"shard-00001.h5", "manifest.json"}) {
    fs::rename(newest / file, newest / "kept");
    fs::create_symlink(file, newest / file);  // a link to itself
    const Finished stopped = train(scratch, "run", to_step(12));
    EXPECT_EQ(stopped.status, 1) << stopped.output;
    expect_says(stopped, (newest / file).string() + ": Too many levels of symbolic links");
    expect_says(stopped, "move it away to resume from an older one");
    EXPECT_TRUE(fs::exists(newest));
    fs::remove(newest / file);
    fs::rename(newest / "kept", newest / file);
  }
  const Finished resumed = train(scratch, "run", to_step(12));
  EXPECT_EQ(resumed.status, 0);
  expect_says(resumed, "resumes from " + newest.string());
}

TEST(Train, RefusesADamagedStoreBeforeTheFirstStep) {
  const Scratch scratch;
  std::fstream file(scratch.store(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x7f');  // the last id, 256, becomes 32512
  file.close();
  const Finished refused = train(scratch, "run", to_step(4));
  EXPECT_EQ(refused.status, 2) << refused.output;
  expect_says(refused, "is 32512, but the largest id is 256: the file is damaged");
  EXPECT_TRUE(metrics(scratch, "run").empty());
}

// A checkpoint as another program writes it by docs/checkpoint-format.md: decimal numbers, and
// without the keys that have a default.
TEST(Resume, ComparesTheModelInItsOwnDtype) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", to_step(4)).status, 0);
  const fs::path path = checkpoint(scratch, "run", 4) / "manifest.json";
  const std::string from = path.parent_path().string();
  Manifest manifest = checkpoint::parse_manifest(io::read_text(path));
  manifest.attributes["model"].erase("tied");
  const auto write = [&](double epsilon) {
    manifest.attributes["model"]["epsilon"] = epsilon;
    io::write_text_durably(path, checkpoint::to_text(manifest));
  };
  write(1.1e-5);
  const Finished refused = train(scratch, "other", to_step(4, {"--checkpoint.init", from}));
  EXPECT_EQ(refused.status, 2) << refused.output;
  expect_says(refused, "model.epsilon=");
  write(1e-5);
  const Finished started = train(scratch, "new", to_step(4, {"--checkpoint.init", from}));
  EXPECT_EQ(started.status, 0) << started.output;
  const Finished resumed = train(scratch, "run", to_step(8));
  EXPECT_EQ(resumed.status, 0) << resumed.output;
}

}  // namespace
}  // namespace masformer::test
