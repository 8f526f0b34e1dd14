// Stores, writers and prefetchers release their descriptors, threads and HDF5 identifiers, whether
// everything was read or not. A hundred cycles leave nothing.
#include <gtest/gtest.h>

#include "data/prefetcher.h"
#include "tests/data/sample_store.h"
#include "tests/support/process_resources.h"

namespace masformer::test {
namespace {

constexpr int cycles = 100;
constexpr int settled = 20;  // cycles after which HDF5 and the allocator keep no more memory

void write_store(const std::filesystem::path& path, bool committed) {
  TokenStoreWriter writer(path, "sample", 300);
  const std::vector<std::uint32_t> ids(500, 299);
  for (int i = 0; i < 5; ++i) writer.add_document(ids);
  if (committed) writer.commit();
}

void read_ahead(const TokenStore& store, int taken) {
  const Split split(store, SplitKind::all, 0.0);
  const Loader loader(split, {whole_window(16), 4, 0, 1, 3});
  Prefetcher prefetcher(loader, 0, 1'000'000'000, 1 + taken % 3);
  for (int i = 0; i < taken; ++i) prefetcher.next();
}

TEST(DataHandles, AreAllReleasedAfterEachCycle) {
  const TemporaryDirectory folder;
  const auto path = folder / "tokens.h5";
  write_bytes(folder / "text", "All that glitters is not HDF5.\n");
  ProcessResources held;
  ProcessMemory memory;
  for (int i = 0; i < cycles; ++i) {
    write_store(path, true);
    write_store(path, false);
    const TokenStore store(path);
    EXPECT_EQ(read_all(store).size(), 2500U);
    EXPECT_THROW(TokenStore{folder / "text"}, UsageError);
    read_ahead(store, i % 5);
    if (i == 0) held = held_resources();
    EXPECT_EQ(held_resources(), held) << "cycle " << i;
    if (i + 1 == settled) memory = held_memory();
  }
  const ProcessMemory after = held_memory();
  EXPECT_LE(after.heap - memory.heap, 64 << 10) << "bytes";
  EXPECT_LE(after.resident - memory.resident, 1 << 20) << "bytes";
}

}  // namespace
}  // namespace masformer::test
