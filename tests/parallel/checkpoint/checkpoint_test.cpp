// Checkpoints written and read by several ranks.
#include "parallel/checkpoint/checkpoint.h"

#include <csignal>
#include <fstream>
#include <set>
#include <sys/resource.h>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/shared_directory.h"
#include "tests/support/synthetic_checkpoint.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

// How a tensor is divided among ranks. Shares may differ in size, and some ranks may get nothing.
enum class Split { rows, columns, blocks, dealt_rows, one_rank };
constexpr Split all_splits[] = {Split::rows, Split::columns, Split::blocks, Split::dealt_rows,
                                Split::one_rank};

const std::map<std::string, Extents> tensors = {
    {"matrix.weight", {13, 24}}, {"bias", {5}},      {"cube", {3, 7, 6}},
    {"four", {2, 3, 4, 5}},      {"scalar", {}},     {"one.row", {1, 9}},
    {"empty", {0, 4}},           {"wide", {9, 700}},
};

// Divides a dimension of a box into `parts` nearly equal parts and returns one of them.
Hyperslab cut(Hyperslab box, std::size_t dim, int parts, int part) {
  if (box.shape.size() <= dim) return part == 0 ? box : Hyperslab{box.offset, box.shape};
  const std::int64_t extent = box.shape[dim];
  const std::int64_t begin = extent * part / parts;
  box.offset[dim] += begin;
  box.shape[dim] = extent * (part + 1) / parts - begin;
  return box;
}

std::vector<Hyperslab> dealt_rows(const Extents& shape, int ranks, int rank) {
  if (shape[0] == 0) return {whole(shape)};
  std::vector<Hyperslab> mine;
  for (std::int64_t row = rank; row < shape[0]; row += ranks) {
    Hyperslab slab = whole(shape);
    slab.offset[0] = row;
    slab.shape[0] = 1;
    mine.push_back(slab);
  }
  return mine;
}

// The boxes of one rank. A tensor that is not divided belongs to rank `number` % ranks.
std::vector<Hyperslab> share(Split split, const Extents& shape, int number, int ranks, int rank) {
  const Hyperslab all = whole(shape);
  const std::size_t last = shape.empty() ? 0 : shape.size() - 1;
  if (shape.empty() || split == Split::one_rank) {
    return number % ranks == rank ? std::vector{all} : std::vector<Hyperslab>{};
  }
  const int across = ranks % 2 == 0 ? 2 : 1;
  switch (split) {
    case Split::rows:
      return {cut(all, 0, ranks, rank)};
    case Split::columns:
      return {cut(all, last, ranks, rank)};
    case Split::blocks:
      if (last == 0) return {cut(all, 0, ranks, rank)};
      return {cut(cut(all, 0, ranks / across, rank / across), last, across, rank % across)};
    default:
      return dealt_rows(shape, ranks, rank);
  }
}

SyntheticPieces make_pieces(Split split, int version = 0) {
  SyntheticPieces pieces(version);
  int number = 0;
  for (const auto& [name, shape] : tensors) {
    for (const Hyperslab& slab : share(split, shape, number, world().size(), world().rank())) {
      pieces.add(name, shape, slab);
    }
    ++number;
  }
  return pieces;
}

void write(const fs::path& directory, Split split, int version = 0) {
  const SyntheticPieces pieces = make_pieces(split, version);
  write_checkpoint(world(), directory, {{"version", version}}, pieces.all());
}

// Returns the message of the Error that `work` throws, and checks that all ranks throw the same.
template <class Work>
std::string common_error(Work work) {
  std::string message;
  try {
    work();
  } catch (const Error& error) {
    message = error.what();
  }
  for (const std::string& other : world().all_gather(message)) EXPECT_EQ(other, message);
  return message;
}

std::set<std::string> entries(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

void flip_a_byte(const fs::path& path) {
  const auto middle = static_cast<std::streamoff>(fs::file_size(path) / 2);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(middle);
  const char byte = static_cast<char>(file.get() ^ 0x10);
  file.seekp(middle);
  file.put(byte);
}

class RoundTrip : public testing::TestWithParam<Split> {};

TEST_P(RoundTrip, EverySplitReadsEveryOther) {
  const SharedDirectory folder(world());
  const fs::path directory = folder / "step-00000001";
  write(directory, GetParam());
  CheckpointReader reader(directory);
  EXPECT_EQ(reader.manifest().attributes, (nlohmann::json{{"version", 0}}));
  EXPECT_EQ(reader.manifest().tensors.size(), tensors.size());
  EXPECT_TRUE(damaged_files(world(), directory, reader.manifest()).empty());
  int number = 0;
  for (const auto& [name, shape] : tensors) {
    EXPECT_EQ(reader.manifest().tensors.at(name).shape, shape);
    for (const Split split : all_splits) {
      for (const Hyperslab& slab : share(split, shape, number, world().size(), world().rank())) {
        EXPECT_EQ(read_bits(reader, name, slab), synthetic_bits(name, shape, slab)) << name;
      }
    }
    ++number;
  }
}

TEST_P(RoundTrip, AnyHyperslabIsTheSource) {
  const SharedDirectory folder(world());
  const fs::path directory = folder / "step-00000001";
  write(directory, GetParam());
  CheckpointReader reader(directory);
  std::uint64_t draw = mix(static_cast<std::uint64_t>(world().rank()), 77);
  const auto below = [&](std::int64_t limit) {
    draw = mix(draw, 1);
    return static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(limit));
  };
  for (const auto& [name, shape] : tensors) {
    for (int trial = 0; trial < 40; ++trial) {
      Hyperslab slab = whole(shape);
      for (std::size_t dim = 0; dim < shape.size(); ++dim) {
        slab.offset[dim] = below(shape[dim] + 1);
        slab.shape[dim] = below(shape[dim] - slab.offset[dim] + 1);
      }
      EXPECT_EQ(read_bits(reader, name, slab), synthetic_bits(name, shape, slab)) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Splits, RoundTrip, testing::ValuesIn(all_splits));

TEST(Checkpoint, ReplacesACheckpointOfTheSameName) {
  const SharedDirectory folder(world());
  const fs::path directory = folder / "step-00000001";
  write(directory, Split::rows, 1);
  if (world().rank() == 0) flip_a_byte(directory / "shard-00000.h5");
  write(directory, Split::columns, 2);
  CheckpointReader reader(directory);
  EXPECT_TRUE(damaged_files(world(), directory, reader.manifest()).empty());
  const Hyperslab all = whole(tensors.at("cube"));
  EXPECT_EQ(read_bits(reader, "cube", all), synthetic_bits("cube", tensors.at("cube"), all, 2));
  EXPECT_EQ(entries(folder.path()), std::set<std::string>{"step-00000001"});
}

TEST(Checkpoint, RefusesPiecesThatDoNotFillTensorsBeforeItWritesAnything) {
  const SharedDirectory folder(world());
  const int rank = world().rank();
  const auto error_of = [&](const std::vector<Hyperslab>& mine) {
    SyntheticPieces pieces;
    for (const Hyperslab& slab : mine) pieces.add("w", {8, 4}, slab);
    return common_error(
        [&] { write_checkpoint(world(), folder / "step-00000001", {}, pieces.all()); });
  };
  const Hyperslab low{{0, 0}, {5, 4}};
  const Hyperslab high{{4, 0}, {4, 4}};
  const std::string overlap = error_of(rank == 0 ? std::vector{low, high} : std::vector{high});
  EXPECT_NE(overlap.find("/tensors/w: "), std::string::npos) << overlap;
  EXPECT_NE(overlap.find("overlap"), std::string::npos) << overlap;
  const std::string hole = error_of(rank == 0 ? std::vector{high} : std::vector<Hyperslab>{});
  EXPECT_NE(hole.find("/tensors/w: 16 of its 32 elements are missing"), std::string::npos) << hole;
  const std::string outside = error_of({{{6, 0}, {3, 4}}});
  EXPECT_NE(outside.find("w: [6:9, 0:4] is not inside [8, 4]"), std::string::npos) << outside;
  world().barrier();
  EXPECT_TRUE(entries(folder.path()).empty());
}

TEST(Checkpoint, RefusesRanksThatDisagreeAboutAShape) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  const SharedDirectory folder(world());
  SyntheticPieces pieces;
  const Extents shape{world().rank() == 0 ? 4 : 5};
  pieces.add("w", shape, world().rank() == 0 ? whole(shape) : Hyperslab{{0}, {0}});
  const std::string error =
      common_error([&] { write_checkpoint(world(), folder / "step-00000001", {}, pieces.all()); });
  EXPECT_NE(error.find("pieces of w give different global shapes: [4] and [5]"), std::string::npos)
      << error;
}

// A limit on file sizes simulates a full disk, at several points of the write and on each rank.
TEST(Checkpoint, FailsOnAllRanksAndLeavesNothingWhereOneDiskIsFull) {
  std::signal(SIGXFSZ, SIG_IGN);
  const SharedDirectory folder(world());
  for (int full = 0; full < world().size(); ++full) {
    for (const rlim_t limit : {0, 96, 800, 2100, 4096, 5000}) {
      const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
      const rlimit low{limit, RLIM_INFINITY};
      if (world().rank() == full) setrlimit(RLIMIT_FSIZE, &low);
      const std::string error =
          common_error([&] { write(folder / "step-00000001", Split::dealt_rows); });
      setrlimit(RLIMIT_FSIZE, &none);
      const std::string name = fmt::format("/shard-{:05}.h5: File too large", full);
      EXPECT_NE(error.find(name), std::string::npos) << "limit " << limit << ": " << error;
      EXPECT_NE(error.find("ulimit -f"), std::string::npos) << error;
      EXPECT_TRUE(entries(folder.path()).empty());
      world().barrier();
    }
  }
  write(folder / "step-00000001", Split::rows);
  EXPECT_EQ(list_checkpoints(folder.path()).size(), 0U);
  EXPECT_EQ(entries(folder.path()), std::set<std::string>{"step-00000001"});
}

TEST(Checkpoint, RefusesAPathThroughAFileByName) {
  const SharedDirectory folder(world());
  if (world().rank() == 0) std::ofstream(folder / "run") << "a file";
  world().barrier();
  const std::string error =
      common_error([&] { write(checkpoint_path(folder / "run", 3), Split::rows); });
  EXPECT_NE(error.find((folder / "run").string()), std::string::npos) << error;
  EXPECT_NE(error.find("choose another folder"), std::string::npos) << error;
}

TEST(Checkpoint, FindsTheNewestUndamagedOne) {
  const SharedDirectory folder(world());
  const fs::path run = folder / "run";
  EXPECT_FALSE(find_newest(world(), run).has_value());
  for (const int step : {5, 40, 300}) write(checkpoint_path(run, step), Split::rows, step);
  EXPECT_EQ(find_newest(world(), run)->directory, checkpoint_path(run, 300));
  world().barrier();
  if (world().rank() == 0) {
    flip_a_byte(checkpoint_path(run, 300) / "shard-00000.h5");
    fs::remove(checkpoint_path(run, 40) / "manifest.json");
  }
  world().barrier();
  const auto found = find_newest(world(), run);
  EXPECT_EQ(found->directory, checkpoint_path(run, 5));
  ASSERT_EQ(found->skipped.size(), 2U);
  EXPECT_EQ(found->skipped[0], "step-00000300: shard-00000.h5: digest differs");
  EXPECT_NE(found->skipped[1].find("step-00000040 is not a checkpoint"), std::string::npos);
  EXPECT_NE(found->skipped[1].find("manifest.json"), std::string::npos);
  world().barrier();
  if (world().rank() == 0) fs::resize_file(checkpoint_path(run, 5) / "shard-00000.h5", 100);
  world().barrier();
  const std::string error = common_error([&] { find_newest(world(), run); });
  EXPECT_NE(error.find("no checkpoint in"), std::string::npos) << error;
  EXPECT_NE(error.find("step-00000005: shard-00000.h5: 100 bytes instead of "), std::string::npos)
      << error;
}

TEST(Checkpoint, ListsAllDamagedFilesOnEveryRank) {
  const SharedDirectory folder(world());
  const fs::path directory = folder / "step-00000001";
  write(directory, Split::rows);
  const Manifest manifest = read_manifest(directory);
  std::vector<std::string> expected;
  for (int rank = 0; rank < world().size(); ++rank) {
    const std::string name = fmt::format("shard-{:05}.h5", rank);
    expected.push_back(name + ": missing");
    if (rank == world().rank()) fs::remove(directory / name);
  }
  world().barrier();
  EXPECT_EQ(damaged_files(world(), directory, manifest), expected);
}

}  // namespace
}  // namespace masformer::test
