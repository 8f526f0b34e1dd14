// Files, digests and HDF5 handles: reading and writing, ownership, messages of failures.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <future>
#include <span>
#include <string>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_handle.h"
#include "runtime/io/replace_file.h"
#include "runtime/random.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using namespace io;

std::string arbitrary_text(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(mix(7, i));
  return text;
}

bool is_open(int descriptor) {
  return fcntl(descriptor, F_GETFD) >= 0;
}

// The message of the Error that `call` throws, after its exit status.
template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const UsageError& error) {
    return std::string("2: ") + error.what();
  } catch (const Error& error) {
    return std::string("1: ") + error.what();
  }
  return "nothing thrown";
}

TEST(ReplaceFile, LeavesTheOldFileIfItFails) {
  const TemporaryDirectory folder;
  const auto files = [&] {
    return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator());
  };
  replace_text(folder / "file", "old");
  const auto fail = [](const fs::path& path) {
    write_text_durably(path, "half");
    throw Error("full");
  };
  EXPECT_THROW(replace_file(folder / "file", fail), Error);
  EXPECT_EQ(read_text(folder / "file"), "old");
  EXPECT_EQ(files(), 1);
  fs::create_symlink(folder / "file", folder / "link");
  replace_text(folder / "link", "new");
  EXPECT_EQ(read_text(folder / "file"), "new") << "a link stays one";
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_THROW(replace_text(folder.path(), "text"), Error);
  EXPECT_THROW(replace_text(folder / "nowhere" / "file", "text"), Error);
  EXPECT_EQ(files(), 2);
  replace_file("/dev/null", [](const fs::path& path) { EXPECT_EQ(path, "/dev/null"); });
}

TEST(File, ReadsBackWhatWasWrittenInAnyOrder) {
  const TemporaryDirectory folder;
  const std::string text = arbitrary_text(300'000);
  const auto bytes = std::as_bytes(std::span(text));
  File file(folder / "file", O_RDWR | O_CREAT);
  const std::size_t middle = 123'457;
  file.write_at(middle, bytes.subspan(middle));
  file.write_at(0, bytes.first(middle));
  file.start_sync();
  file.sync();
  EXPECT_EQ(file.bytes(), 300'000);
  EXPECT_EQ(read_text(folder / "file"), text);
  std::vector<std::future<bool>> same;
  for (std::size_t begin = 0; begin < 4; ++begin) {
    same.push_back(std::async(std::launch::async, [&, begin] {
      std::string part(text.size() - begin * 70'001, '\0');
      file.read_at(static_cast<std::int64_t>(begin) * 70'001,
                   std::as_writable_bytes(std::span(part)));
      return part == text.substr(begin * 70'001);
    }));
  }
  for (auto& each : same) EXPECT_TRUE(each.get());
}

TEST(File, ShorterTextReplacesALongerFile) {
  const TemporaryDirectory folder;
  for (const std::size_t size : {5000u, 10u, 0u}) {
    write_text_durably(folder / "text", arbitrary_text(size));
    EXPECT_EQ(read_text(folder / "text"), arbitrary_text(size));
  }
}

TEST(File, ReadsNextFromAPipe) {
  const TemporaryDirectory folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  File reader(folder / "pipe", O_RDWR);  // also a writer, so that opening does not wait for one
  std::byte block[8];
  for (const std::string text : {"abc", "de"}) {
    ASSERT_EQ(write(reader.descriptor(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    ASSERT_EQ(reader.read_next(block), text.size());
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(block), text.size()), text);
  }
}

TEST(File, IsClosedOnceByItsLastOwner) {
  const TemporaryDirectory folder;
  File first(folder / "first", O_RDWR | O_CREAT);
  const int one = first.descriptor();
  File second(std::move(first));
  EXPECT_EQ(first.descriptor(), -1);  // NOLINT(bugprone-use-after-move): it is empty
  EXPECT_EQ(first.path(), "");
  EXPECT_EQ(second.descriptor(), one);
  {
    File third(folder / "third", O_RDWR | O_CREAT);
    const int three = third.descriptor();
    third = std::move(second);
    EXPECT_FALSE(is_open(three)) << "what an assignment replaces is closed";
    EXPECT_EQ(second.descriptor(), -1);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(third.path(), folder / "first");
    EXPECT_TRUE(is_open(one));
  }
  EXPECT_FALSE(is_open(one));
}

TEST(File, FailuresNameTheFileTheReasonAndTheRemedy) {
  const TemporaryDirectory folder;
  write_text_durably(folder / "short", "12345");
  const std::string at = folder.path().string() + "/";
  std::byte block[8];
  const std::tuple<std::function<void()>, std::string> cases[] = {
      {[&] { File(folder / "none", O_RDONLY); },
       "1: can't open " + at + "none: No such file or directory"},
      {[&] { open_or_refuse(folder / "none", O_RDONLY); },
       "2: can't open " + at + "none: No such file or directory"},
      {[&] { File(folder / "short/x", O_WRONLY | O_CREAT); },
       "1: can't create " + at +
           "short/x: Not a directory: choose another folder, or move "
           "away the file that is in its path"},
      {[&] { create_folder(folder / "short"); },
       "1: can't create " + at +
           "short: File exists: choose another folder, or move away the "
           "file that is in its path"},
      {[&] { File(folder / "short", O_RDONLY).read_at(2, block); },
       "1: " + at + "short ends at byte 5: it was cut off"},
      {[&] { File(folder / "short", O_WRONLY).read_at(3, block); },
       "1: can't read " + at + "short: Bad file descriptor at byte 3"},
      {[&] { File(folder / "short", O_RDONLY).write_at(0, block); },
       "1: can't write " + at + "short: Bad file descriptor"},
      {[&] { sync_folder(folder / "none"); },
       "1: can't open " + at + "none: No such file or directory"},
      {[&] { fail_for_errno("open", "x", EACCES); },
       "1: can't open x: Permission denied: let this user read it"},
      {[&] { fail_for_errno("write", "x", EACCES); },
       "1: can't write x: Permission denied: choose a folder that this user can write"},
      {[&] { fail_for_errno("write", "x", ENOSPC, " (needs 1 GiB more)"); },
       "1: can't write x: No space left on device (needs 1 GiB more): free some space, or choose a "
       "folder on another disk"},
  };
  for (const auto& [call, message] : cases) EXPECT_EQ(message_of(call), message);
}

TEST(File, CreatesFoldersForAnySpellingOfThePath) {
  const TemporaryDirectory folder;
  for (const std::string path : {"a/b/c", "a/b/c", "d/", "e//f/../g/", "h/./i"}) {
    create_folder(folder / path);
    EXPECT_TRUE(fs::is_directory(folder / path)) << path;
  }
}

TEST(Digest, IsXxh3Of128Bits) {
  EXPECT_EQ(digest_of(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest_of("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(Digest, PiecesAndAFileGiveTheDigestOfTheWhole) {
  const TemporaryDirectory folder;
  // Around the sizes at which the algorithm and the reading in blocks change.
  for (const std::size_t size : {0, 1, 16, 17, 240, 241, 1024, 1 << 20, (1 << 20) + 1, 3'000'000}) {
    const std::string text = arbitrary_text(size);
    const auto bytes = std::as_bytes(std::span(text));
    Digest digest;
    std::size_t begin = 0;
    for (std::size_t piece = 1; begin < size; piece = piece * 3 + 1) {
      const std::size_t count = std::min(piece, size - begin);
      digest.update(bytes.subspan(begin, count));
      begin += count;
    }
    EXPECT_EQ(digest.hex(), digest_of(text)) << size;
    write_text_durably(folder / "file", text);
    EXPECT_EQ(digest_of(File(folder / "file", O_RDONLY)), digest_of(text)) << size;
  }
}

TEST(Hdf5Handle, IsClosedOnceByItsLastOwner) {
  Hdf5Space first(H5Screate(H5S_SCALAR));
  const hid_t one = first.id();
  Hdf5Space second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): it is empty
  {
    Hdf5Space third(H5Screate(H5S_SCALAR));
    const hid_t three = third.id();
    third = std::move(second);
    EXPECT_LE(H5Iis_valid(three), 0) << "what an assignment replaces is closed";
    EXPECT_EQ(third.id(), one);
    EXPECT_GT(H5Iis_valid(one), 0);
  }
  EXPECT_LE(H5Iis_valid(one), 0);
  EXPECT_TRUE(second.close()) << "an empty one has nothing to fail";
}

TEST(Hdf5Handle, ReportsFailuresAsTextAndPrintsNothing) {
  const TemporaryDirectory folder;
  write_text_durably(folder / "text", "All that glitters is not HDF5.\n");
  testing::internal::CaptureStderr();
  {
    const Hdf5Quiet quiet;
    const Hdf5Properties access = unlocked_access();
    EXPECT_FALSE(Hdf5File(H5Fopen((folder / "text").c_str(), H5F_ACC_RDONLY, access.id())));
    EXPECT_EQ(hdf5_reason(), "file signature not found");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  EXPECT_LT(H5Fopen((folder / "text").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  EXPECT_NE(testing::internal::GetCapturedStderr(), "") << "the printer is back";
}

}  // namespace
}  // namespace masformer::test
