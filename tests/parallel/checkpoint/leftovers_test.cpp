// What an interrupted save or removal leaves, a full disk, and files that can't be read.
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <set>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/disk_space.h"
#include "parallel/comm/self_communicator.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "tests/support/refusal.h"
#include "tests/support/small_disk.h"
#include "tests/support/synthetic_checkpoint.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

SelfCommunicator alone;

// A checkpoint of `mebibytes` MiB, and a little more for HDF5 and the manifest.
void save(const fs::path& run, int step, std::int64_t mebibytes) {
  SyntheticPieces pieces(step);
  const Extents shape{mebibytes, 1 << 18};
  pieces.add("w", shape, whole(shape));
  write_checkpoint(alone, checkpoint_path(run, step), {{"step", step}}, pieces.all());
}

Names names_in(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

TEST(Leftovers, AreRemovedAndNamed) {
  const TemporaryDirectory run;
  EXPECT_TRUE(remove_leftovers(run / "checkpoints").empty()) << "no folder yet";
  save(run.path(), 4, 0);
  const Names leftovers{".writing-step-00000008", ".replaced-step-00000004",
                        ".removing-step-00000001"};
  const Names others{"step-00000004", ".probe", "step-9", "set-aside-1-step-00000005"};
  for (const Names& group : {leftovers, others}) {
    for (const std::string& name : group) {
      fs::create_directories(run / "checkpoints" / name / "inside");
    }
  }
  const auto removed = remove_leftovers(run / "checkpoints");
  EXPECT_EQ(Names(removed.begin(), removed.end()), leftovers);
  EXPECT_EQ(names_in(run / "checkpoints"), others);
}

TEST(FullDisk, ListsCheckpointsAndLeftoversWithTheirSizes) {
  const TemporaryDirectory run;
  save(run.path(), 4, 2);
  const fs::path folder = run / "checkpoints";
  fs::rename(checkpoint_path(run.path(), 4), folder / ".removing-step-00000004");
  save(run.path(), 8, 1);
  fs::create_directories(folder / "set-aside-1-step-00000009");
  fs::create_directories(folder / "notes");
  const std::string text = checkpoint::describe_disk_space(folder, 3 << 20);
  expect_has(text, "a checkpoint takes 3.0 MiB, and ");
  expect_has(text, folder.string() + " holds:\n  .removing-step-00000004: 2.0 MiB, left by an");
  expect_has(text, "\n  step-00000008: 1.0 MiB, a checkpoint");
  expect_has(text, "\n  set-aside-1-step-00000009: 0.0 MiB, set aside");
  EXPECT_EQ(text.find("notes"), std::string::npos) << text;
  expect_has(checkpoint::describe_disk_space(run / "none", 0), "none holds no checkpoint");
}

// The disk has room for two checkpoints of 4 MiB, `keep` is 1, and a kill during a removal left a
// folder.
TEST(FullDisk, IsExplainedAndALeftoverMakesRoomForTheNextSave) {
  const SmallDisk disk(9 << 20);
  if (!disk.mounted()) GTEST_SKIP() << no_small_disk;
  const fs::path folder = disk.path() / "checkpoints";
  save(disk.path(), 1, 4);
  fs::rename(checkpoint_path(disk.path(), 1), folder / ".removing-step-00000001");
  save(disk.path(), 2, 4);
  const std::string error = error_of([&] { save(disk.path(), 3, 4); });
  expect_has(error, "shard-00000.h5: No space left on device (needs ");
  expect_has(error, "a checkpoint takes 4.0 MiB, and ");
  expect_has(error, ".removing-step-00000001: 4.0 MiB, left by an interrupted save or removal");
  expect_has(error, "step-00000002: 4.0 MiB");
  EXPECT_EQ(names_in(folder), (Names{".removing-step-00000001", "step-00000002"}));
  prune_checkpoints(disk.path(), 1);
  save(disk.path(), 3, 4);
  EXPECT_EQ(names_in(folder), (Names{"step-00000002", "step-00000003"}));
}

class Unreadable : public testing::Test {
 protected:
  Unreadable() {
    for (const int step : {5, 6}) save(run_.path(), step, 1);
  }
  fs::path newest(const char* file) const { return checkpoint_path(run_.path(), 6) / file; }

  void expect_stops(const std::string& error, const fs::path& path, const char* reason) const {
    expect_has(error, path.string() + ": " + reason);
    expect_has(error, "may be good, but can't be read; make " +
                          checkpoint_path(run_.path(), 6).string() + " readable, or move it away");
  }

  const TemporaryDirectory run_;
};

TEST_F(Unreadable, FileIsNotTakenForDamage) {
  for (const char* const file : {"shard-00000.h5", "manifest.json"}) {
    const fs::path kept = newest("kept");
    fs::rename(newest(file), kept);
    fs::create_symlink(newest(file), newest(file));  // a link to itself
    const std::string loop = error_of([&] { find_newest(alone, run_.path()); });
    expect_stops(loop, newest(file), "Too many levels of symbolic links");
    fs::remove(newest(file));
    fs::create_directory(newest(file));
    const bool manifest = file == std::string("manifest.json");
    if (manifest) {  // a folder's size is not that of a shard: damage
      const std::string folder = error_of([&] { find_newest(alone, run_.path()); });
      expect_stops(folder, newest(file), "Is a directory");
    }
    fs::remove(newest(file));
    EXPECT_EQ(find_newest(alone, run_.path())->directory, checkpoint_path(run_.path(), 5));
    fs::rename(kept, newest(file));
    EXPECT_EQ(find_newest(alone, run_.path())->directory, checkpoint_path(run_.path(), 6));
  }
}

// The message that `work` throws in a process without root's rights.
std::string error_without_rights(const std::function<void()>& work) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const uid_t nobody = 65534;
    const std::string error = setuid(nobody) == 0 ? error_of(work) : "can't drop root's rights";
    _exit(write(ends[1], error.data(), error.size()) < 0 ? 1 : 0);
  }
  close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t size = read(ends[0], text.data(), text.size());
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
}

TEST_F(Unreadable, FileWithoutPermissionsIsNotTakenForDamage) {
  if (geteuid() != 0) GTEST_SKIP() << "a file without rights is made by root";
  fs::permissions(run_.path(), fs::perms(0755));
  for (const char* const file : {"shard-00000.h5", "manifest.json"}) {
    fs::permissions(newest(file), fs::perms::none);
    const std::string error = error_without_rights([&] { find_newest(alone, run_.path()); });
    expect_stops(error, newest(file), "Permission denied: let this user read it");
    fs::permissions(newest(file), fs::perms(0644));
  }
  EXPECT_EQ(error_without_rights([&] { find_newest(alone, run_.path()); }), "");
}

TEST_F(Unreadable, FilesAreAllNamedByAVerification) {
  const Manifest manifest = read_manifest(newest(""));
  fs::remove(newest("shard-00000.h5"));
  fs::create_symlink("shard-00000.h5", newest("shard-00000.h5"));
  const std::string error = error_of([&] { damaged_files(alone, newest(""), manifest); });
  expect_has(error, newest("shard-00000.h5").string() + ": Too many levels of symbolic links");
}

}  // namespace
}  // namespace masformer::test
