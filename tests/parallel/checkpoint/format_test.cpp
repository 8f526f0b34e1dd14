// Checkpoints on one rank: damage is found, manifests are checked, a killed save leaves nothing
// incomplete, and the files are as docs/checkpoint-format.md says.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>
#include <hdf5.h>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/compare.h"
#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/manifest_text.h"
#include "parallel/comm/self_communicator.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "tests/support/refusal.h"
#include "tests/support/synthetic_checkpoint.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

SelfCommunicator alone;

// Two tensors, one of them in two pieces of one shard.
void write(const fs::path& directory, int version = 0, std::int64_t rows = 6) {
  SyntheticPieces pieces(version);
  pieces.add("a", {rows, 4}, {{0, 0}, {2, 4}});
  pieces.add("a", {rows, 4}, {{2, 0}, {rows - 2, 4}});
  pieces.add("b", {5}, whole({5}));
  write_checkpoint(alone, directory, {{"step", version}}, pieces.all());
}

void overwrite(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::set<std::string> entries(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

TEST(CheckpointDamage, AnyFlippedByteCutOrAbsenceIsFound) {
  const TemporaryDirectory folder;
  write(folder.path() / "step-00000001");
  const fs::path directory = folder / "step-00000001";
  const fs::path shard = directory / "shard-00000.h5";
  const Manifest manifest = read_manifest(directory);
  const std::string good = io::read_text(shard);
  EXPECT_TRUE(damaged_files(alone, directory, manifest).empty());
  const std::vector<std::string> flipped = {"shard-00000.h5: digest differs"};
  for (std::size_t trial = 0; trial <= 60; ++trial) {
    const std::size_t offset = std::min(trial * good.size() / 60, good.size() - 1);
    std::string bad = good;
    bad[offset] = static_cast<char>(bad[offset] ^ (1 << (trial % 8)));
    overwrite(shard, bad);
    EXPECT_EQ(damaged_files(alone, directory, manifest), flipped) << "byte " << offset;
  }
  for (const std::size_t size : {std::size_t{0}, good.size() / 2, good.size() - 1}) {
    overwrite(shard, good.substr(0, size));
    EXPECT_EQ(
        damaged_files(alone, directory, manifest),
        std::vector{fmt::format("shard-00000.h5: {} bytes instead of {}", size, good.size())});
  }
  fs::remove(shard);
  EXPECT_EQ(damaged_files(alone, directory, manifest),
            std::vector<std::string>{"shard-00000.h5: missing"});
}

TEST(CheckpointDamage, AnyFlippedByteOfTheManifestIsFound) {
  const TemporaryDirectory folder;
  const fs::path directory = folder / "step-00000001";
  write(directory);
  const std::string good = io::read_text(directory / "manifest.json");
  for (std::size_t offset = 0; offset < good.size(); ++offset) {
    std::string bad = good;
    bad[offset] = static_cast<char>(bad[offset] ^ (1 << (offset % 8)));
    EXPECT_THROW(checkpoint::parse_manifest(bad), Error) << "byte " << offset;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(checkpoint::parse_manifest(good.substr(0, size)), Error) << size << " bytes";
  }
  overwrite(directory / "manifest.json", good + " ");
  const std::string path = (directory / "manifest.json").string();
  EXPECT_EQ(error_of([&] { read_manifest(directory); }),
            path + ": its digest differs: the file was damaged or edited");
  overwrite(directory / "manifest.json", "{}");
  EXPECT_EQ(error_of([&] { read_manifest(directory); }), path + ": not a checkpoint's manifest");
}

// An edit of a manifest, which is then signed again, and the message on reading it.
struct Edit {
  const char* pointer;  // JSON pointer to the value that is replaced
  json value;           // the new value; discarded: the old one is removed
  const char* complaint;
};

json removed() {
  return json(json::value_t::discarded);
}

std::string edited(const std::string& text, const Edit& edit) {
  json tree = json::parse(text);
  tree.erase("digest");
  if (edit.value.is_discarded()) {
    tree = tree.patch(json::array({{{"op", "remove"}, {"path", edit.pointer}}}));
  } else {
    tree[json::json_pointer(edit.pointer)] = edit.value;
  }
  return checkpoint::signed_text(tree.dump().substr(1));
}

TEST(CheckpointManifest, EverythingInItIsChecked) {
  const TemporaryDirectory folder;
  const fs::path directory = folder / "step-00000001";
  write(directory);
  const std::string good = io::read_text(directory / "manifest.json");
  const json piece = json::parse(good).at("/tensors/a/pieces/0"_json_pointer);
  const auto moved = [&](json offset, json shape) {
    json other = piece;
    other["offset"] = std::move(offset);
    other["shape"] = std::move(shape);
    return other;
  };
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Edit edits[] = {
      {"/format", "zip", "/format: \"zip\" is not \"masformer-checkpoint\""},
      {"/format", removed(), "/: \"format\" is missing"},
      {"/version", 2, "/version: 2 is not 1, the version that this program reads"},
      {"/version", "1", "/version: \"1\" is not an integer"},
      {"/attributes", 3, "/attributes: 3 is not an object"},
      {"/tensors", json::array(), "/tensors: [] is not an object"},
      {"/tensors/a/dtype", "float16", "/tensors/a/dtype: \"float16\" is not \"float32\""},
      {"/tensors/a/shape", json{-6, 4}, "/tensors/a/shape/0: -6 is not an integer from 0"},
      {"/tensors/a/shape", json{6.0, 4}, "/tensors/a/shape/0: 6.0 is not an integer"},
      {"/tensors/a/shape", json{huge, 4}, "is not a shape of at most 32 dimensions"},
      {"/tensors/a/shape", json{0, huge, huge}, "is not a shape of at most 32 dimensions"},
      {"/tensors/a/shape", json{UINT64_MAX}, "/tensors/a/shape/0: 18446744073709551615 is not"},
      {"/tensors/a/shape", json(33, 1), "is not a shape of at most 32 dimensions"},
      {"/tensors/a/shape", json{7, 4}, "/tensors/a: 4 of its 28 elements are missing"},
      {"/tensors/a/shape", json{5, 4}, "/tensors/a/pieces/1: {"},
      {"/tensors/a/pieces", json::array(), "/tensors/a: 24 of its 24 elements are missing"},
      {"/tensors/a/pieces/0", removed(), "/tensors/a: 8 of its 24 elements are missing"},
      {"/tensors/a/pieces/2", piece, "/tensors/a: [0:2, 0:4] of shard-00000.h5 and [0:2, 0:4]"},
      {"/tensors/a/pieces/0", moved({1, 0}, {2, 4}), "/tensors/a: [1:3, 0:4] of shard-00000.h5 an"},
      {"/tensors/a/pieces/0", moved({0, 1}, {2, 3}), "/tensors/a: 2 of its 24 elements are missin"},
      {"/tensors/a/pieces/0", moved({0, 1}, {2, 4}), "is not a box inside the tensor"},
      {"/tensors/a/pieces/0", moved({0, huge}, {2, huge}), "is not a box inside the tensor"},
      {"/tensors/a/pieces/0", moved({0}, {2}), "is not a box inside the tensor"},
      {"/tensors/a/pieces/0", moved({0, 0}, {0, 4}), "is not a piece with elements"},
      {"/tensors/a/pieces/0/offset", json{0, "0"}, "/offset/1: \"0\" is not an integer"},
      {"/tensors/a/pieces/0/file", "shard-00009.h5", "shard-00009.h5, which \"files\" does not"},
      {"/tensors/a/pieces/0/file", "../shard-00000.h5", "is not a plain file name"},
      {"/tensors/a/pieces/0/file", "/etc/passwd", "is not a plain file name"},
      {"/tensors/a/pieces/0/file", 7, "/tensors/a/pieces/0/file: 7 is not a string"},
      {"/tensors/a/pieces/0/dataset", "a", "is not a path from the root of the file"},
      {"/tensors/a/pieces/0/dataset", std::string("/a\0b", 4),
       "is not a path from the root of the"},
      {"/tensors/a/pieces/0/dataset", removed(), "/tensors/a/pieces/0: \"dataset\" is missing"},
      {"/files", removed(), "/: \"files\" is missing"},
      {"/files/a~1b", json{{"bytes", 1}}, "is not listed under a plain file name"},
      {"/files/shard-00000.h5/bytes", -1, "/files/shard-00000.h5/bytes: -1 is not an integer"},
      {"/files/shard-00000.h5/xxh3_128", "0123", "\"0123\" is not 32 lower-case hexadecimal digi"},
  };
  EXPECT_NO_THROW(checkpoint::parse_manifest(edited(good, {"/attributes/x", 1, ""})));
  for (const Edit& edit : edits) {
    overwrite(directory / "manifest.json", edited(good, edit));
    const std::string error = error_of([&] { read_manifest(directory); });
    EXPECT_TRUE(error.starts_with((directory / "manifest.json: ").string())) << error;
    EXPECT_NE(error.find(edit.complaint), std::string::npos)
        << edit.pointer << " = " << edit.value << ": " << error;
  }
  overwrite(directory / "manifest.json", checkpoint::signed_text("\"format\": \"masf"));
  EXPECT_NE(error_of([&] { read_manifest(directory); }).find("not JSON"), std::string::npos);
}

// Copying and printing values takes stack in proportion to their nesting, and a million levels
// would overflow it. An object or array may be empty at the level where a value would be too deep.
TEST(CheckpointManifest, NestingIsBounded) {
  const auto error = [&](std::size_t depth, const char* value) {
    return error_of([&] {
      checkpoint::parse_manifest(checkpoint::signed_text(
          "\"attributes\": " + std::string(depth, '[') + value + std::string(depth, ']') + "}"));
    });
  };
  for (const char* const value : {"", "1", "\"[[[\\\"[[[\"", "{ }"}) {
    EXPECT_EQ(error(99, value), "/: \"format\" is missing") << value;
    EXPECT_EQ(error(101, value), "nested more than 100 deep") << value;
    EXPECT_EQ(error(1'000'000, value), "nested more than 100 deep") << value;
  }
  EXPECT_EQ(error(100, ""), "/: \"format\" is missing");
  EXPECT_EQ(error(100, "1"), "nested more than 100 deep");
}

// Blocks in random order that tile a square are accepted, and those that almost tile it are not.
TEST(CheckpointManifest, CoverIsExactForThousandsOfPieces) {
  constexpr std::int64_t side = 64;
  for (const Extents& block : {Extents{3, 5}, Extents{1, 7 * side}, Extents{2 * side, 1}}) {
    StoredTensor tensor{{side * block[0], side * block[1]}, {}};
    for (std::int64_t i = 0; i < side * side; ++i) {
      const auto place =
          static_cast<std::int64_t>(permute(static_cast<std::uint64_t>(i), side * side, 11));
      tensor.pieces.push_back(
          {"f", "/d", {{place / side * block[0], place % side * block[1]}, block}});
    }
    EXPECT_EQ(checkpoint::cover_complaint(tensor), "");
    StoredTensor lacking = tensor;
    lacking.pieces.pop_back();
    EXPECT_NE(checkpoint::cover_complaint(lacking).find("are missing"), std::string::npos);
    StoredTensor doubled = lacking;  // the volumes add up, but one block is missing
    doubled.pieces.push_back(doubled.pieces[17]);
    EXPECT_NE(checkpoint::cover_complaint(doubled).find("overlap"), std::string::npos);
  }
}

// Saves until the process is killed.
[[noreturn]] void save_for_ever(const fs::path& run) {
  for (int round = 0;; ++round) {
    const int step = 1 + round % 5;  // replaces checkpoints of earlier rounds
    write(checkpoint_path(run, step), step, 600);
    if (round % 7 == 6) prune_checkpoints(run, 3);
  }
}

TEST(CheckpointCommit, LeavesOnlyCompleteCheckpointsWhereASaveIsKilled) {
  const TemporaryDirectory folder;
  const fs::path run = folder / "run";
  std::uint64_t draw = 5;
  int seen = 0;
  int interrupted = 0;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) save_for_ever(run);
    draw = mix(draw, 1);
    // If the machine is too slow for a whole save, wait longer from round to round.
    const std::uint64_t timeout_factor = seen == 0 ? static_cast<std::uint64_t>(round) + 1 : 1;
    std::this_thread::sleep_for(std::chrono::microseconds(timeout_factor * (500 + draw % 30000)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (const auto& [step, directory] : list_checkpoints(run)) {
      const Manifest manifest = read_manifest(directory);
      EXPECT_EQ(manifest.attributes.at("step"), step);
      EXPECT_TRUE(damaged_files(alone, directory, manifest).empty()) << directory;
      ++seen;
    }
    if (const auto found = find_newest(alone, run)) {
      EXPECT_EQ(found->directory, list_checkpoints(run).rbegin()->second);
    }
    if (!fs::exists(run / "checkpoints")) continue;
    const auto is_hidden = [](const std::string& name) { return name.starts_with("."); };
    const std::set<std::string> left = entries(run / "checkpoints");
    interrupted += std::any_of(left.begin(), left.end(), is_hidden) ? 1 : 0;
    if (round % 3 != 0) continue;  // otherwise the next child finds what this one left
    prune_checkpoints(run, 0);
    const std::set<std::string> pruned = entries(run / "checkpoints");
    EXPECT_TRUE(std::none_of(pruned.begin(), pruned.end(), is_hidden));
  }
  EXPECT_GT(interrupted, 5);
  EXPECT_GT(seen, 0);
}

TEST(CheckpointDirectory, PruningKeepsTheNewestAndNothingElse) {
  const TemporaryDirectory folder;
  const fs::path run = folder / "run";
  prune_checkpoints(run, 2);  // nothing there yet
  for (const int step : {7, 20, 100, 99999999, 123456789}) write(checkpoint_path(run, step), step);
  for (const char* name : {".writing-step-00000008", ".replaced-step-00000007", "step-00000009x",
                           ".removing-step-00000001", "step-9", "notes"}) {
    fs::create_directory(run / "checkpoints" / name);
  }
  prune_checkpoints(run, 0);
  EXPECT_EQ(list_checkpoints(run).size(), 5U);
  prune_checkpoints(run, 3);
  EXPECT_EQ(entries(run / "checkpoints"),
            (std::set<std::string>{"step-00000100", "step-99999999", "step-123456789", "notes",
                                   "step-00000009x", "step-9"}));
  EXPECT_EQ(list_checkpoints(run).rbegin()->first, 123456789);
}

TEST(CheckpointFormat, HoldsWhatTheDocumentSays) {
  const TemporaryDirectory folder;
  const fs::path directory = folder / "step-00000001";
  write(directory);
  const std::string bytes = io::read_text(directory / "shard-00000.h5");
  const hid_t file = H5Fopen((directory / "shard-00000.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t dataset = H5Dopen2(file, "/a~2", H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  std::int64_t global_shape[2] = {};
  std::int64_t offset[2] = {};
  for (const auto& [name, values] : {std::pair{"global_shape", global_shape}, {"offset", offset}}) {
    const hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT);
    EXPECT_GE(H5Aread(attribute, H5T_NATIVE_INT64, values), 0);
    H5Aclose(attribute);
  }
  EXPECT_EQ(global_shape[0], 6);
  EXPECT_EQ(global_shape[1], 4);
  EXPECT_EQ(offset[0], 2);
  EXPECT_EQ(offset[1], 0);
  // Contiguous little-endian fp32, found without HDF5 by its address in the file.
  const haddr_t address = H5Dget_offset(dataset);
  const auto expected = synthetic_bits("a", {6, 4}, {{2, 0}, {4, 4}});
  ASSERT_LE(address + expected.size() * 4, bytes.size());
  EXPECT_EQ(std::memcmp(bytes.data() + address, expected.data(), expected.size() * 4), 0);
  H5Dclose(dataset);
  H5Fclose(file);
}

TEST(CheckpointFormat, GivesTheSameBytesForTheSamePieces) {
  const TemporaryDirectory folder;
  write(folder / "one");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times are in seconds
  write(folder / "two/");
  for (const char* name : {"shard-00000.h5", "manifest.json"}) {
    EXPECT_EQ(io::read_text(folder / "one" / name), io::read_text(folder / "two" / name));
  }
}

TEST(CheckpointReading, RefusesTensorsAndSlabsThatDoNotExist) {
  const TemporaryDirectory folder;
  write(folder / "step-00000001");
  CheckpointReader reader(folder / "step-00000001");
  std::vector<float> values(64);
  const auto into = [&](Shape shape) {
    return Tensor(values.data(), shape, DType::f32, Device::cpu);
  };
  const auto complains = [&](const std::string& name, const Hyperslab& slab, Tensor data,
                             const std::string& text) {
    const std::string error = error_of([&] { reader.read(name, slab, data); });
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  complains("c", whole({2}), into({2}), "has no tensor c");
  complains("b", {{1}, {5}}, into({5}), "[1:6] of b is not inside [5]");
  complains("b", {{0, 0}, {1, 1}}, into({1, 1}), "is not inside [5]");
  complains("b", whole({5}), into({4}), "[0:5] can't be read into [4] of fp32 on cpu");
  fs::resize_file(folder / "step-00000001" / "shard-00000.h5", 1000);
  complains("b", whole({5}), into({5}), "shard-00000.h5: ");
}

// Makes a checkpoint of `shards` files that hold one tensor each: t0, t1 and so on.
void write_shards(const fs::path& directory, int shards) {
  fs::create_directories(directory);
  Manifest all;
  for (int i = 0; i < shards; ++i) {
    const std::string name = fmt::format("t{}", i);
    const std::string file = fmt::format("shard-{:05}.h5", i);
    SyntheticPieces pieces;
    pieces.add(name, {3}, whole({3}));
    write_checkpoint(alone, directory / "one", {}, pieces.all());
    const Manifest one = read_manifest(directory / "one");
    all.files[file] = one.files.at("shard-00000.h5");
    all.tensors[name] = one.tensors.at(name);
    all.tensors[name].pieces[0].file = file;
    fs::rename(directory / "one" / "shard-00000.h5", directory / file);
  }
  overwrite(directory / "manifest.json", checkpoint::to_text(all));
}

// Uses a low limit on open files, and removes the files: a removed file can be read only while it
// is open.
TEST(CheckpointReading, KeepsRecentlyUsedFilesOpen) {
  const TemporaryDirectory folder;
  constexpr int shards = 40;  // at least 16 stay open
  write_shards(folder / "many", shards);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low{64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  CheckpointReader reader(folder / "many");
  setrlimit(RLIMIT_NOFILE, &before);
  const auto check = [&](int i) {
    const std::string name = fmt::format("t{}", i);
    EXPECT_EQ(read_bits(reader, name, whole({3})), synthetic_bits(name, {3}, whole({3})));
  };
  check(0);
  fs::remove(folder / "many" / "shard-00000.h5");
  for (int i = 1; i < shards; ++i) {
    check(i);
    check(0);
  }
  fs::remove(folder / "many" / "shard-00001.h5");
  EXPECT_THROW(check(1), Error);  // it was closed to open others
}

// Writes a checkpoint of tensors, each filled with one value.
void write_constant(const fs::path& directory, const std::map<std::string, float>& tensors,
                    std::int64_t elements) {
  std::map<std::string, std::vector<float>> memory;
  std::vector<TensorPiece> pieces;
  for (const auto& [name, value] : tensors) {
    auto& data = memory[name] = std::vector<float>(static_cast<std::size_t>(elements), value);
    pieces.push_back({name,
                      {elements},
                      whole({elements}),
                      Tensor(data.data(), Shape{elements}, DType::f32, Device::cpu)});
  }
  write_checkpoint(alone, directory, {}, pieces);
}

TEST(CheckpointComparison, IsTheNormOfTheDifferenceOverTheNorm) {
  const TemporaryDirectory folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr std::int64_t elements = 600001;  // several parts of odd sizes
  const float inf = std::numeric_limits<float>::infinity();
  write_constant(folder / "a",
                 {{"w", 3},
                  {"z", 0},
                  {"y", 1},
                  {"n", nan},
                  {"nan 0", nan},
                  {"inf 0", inf},
                  {"1 inf", 1},
                  {"1 nan", 1}},
                 elements);
  write_constant(folder / "b",
                 {{"w", 4},
                  {"z", 0},
                  {"y", 0},
                  {"n", nan},
                  {"nan 0", 0},
                  {"inf 0", 0},
                  {"1 inf", inf},
                  {"1 nan", nan}},
                 elements);
  CheckpointReader a(folder / "a");
  CheckpointReader b(folder / "b");
  const auto differences = compare(a, b);
  EXPECT_EQ(differences.size(), 8U);
  EXPECT_NEAR(differences.at("w"), 0.25, 1e-15);
  EXPECT_EQ(differences.at("z"), 0);
  EXPECT_EQ(differences.at("n"), 0);
  EXPECT_EQ(differences.at("y"), 1);
  for (const char* const name : {"nan 0", "inf 0", "1 inf", "1 nan"}) {
    EXPECT_EQ(differences.at(name), std::numeric_limits<double>::max()) << name;
  }
}

// An infinity on both sides does not hide another difference.
TEST(CheckpointComparison, IsTheLargestNumberWhereTheNormIsInfinite) {
  const TemporaryDirectory folder;
  const auto write_pair = [&](const char* name, float second) {
    std::vector<float> data{std::numeric_limits<float>::infinity(), second};
    write_checkpoint(
        alone, folder / name, {},
        {{"w", {2}, whole({2}), Tensor(data.data(), Shape{2}, DType::f32, Device::cpu)}});
  };
  write_pair("a", 1);
  write_pair("b", 2);
  CheckpointReader a(folder / "a");
  CheckpointReader b(folder / "b");
  EXPECT_EQ(compare(a, b).at("w"), std::numeric_limits<double>::max());
}

TEST(CheckpointComparison, NamesEveryTensorThatCannotBeCompared) {
  const TemporaryDirectory folder;
  write(folder / "a", 0, 6);
  write(folder / "b", 0, 7);
  write_constant(folder / "c", {{"a", 1}, {"q", 1}}, 3);
  CheckpointReader a(folder / "a");
  CheckpointReader b(folder / "b");
  CheckpointReader c(folder / "c");
  EXPECT_THROW(compare(a, b), UsageError);
  const std::string error = error_of([&] { compare(a, c); });
  EXPECT_NE(error.find("a is [6, 4] in "), std::string::npos) << error;
  EXPECT_NE(error.find("b is not in "), std::string::npos) << error;
  EXPECT_NE(error.find("q is not in "), std::string::npos) << error;
}

}  // namespace
}  // namespace masformer::test
