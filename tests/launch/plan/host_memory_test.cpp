#include "launch/plan/host_memory.h"

#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t gib = 1 << 30;

// A made-up /proc and /sys.
class FakeSystem {
 public:
  const fs::path& root() const { return directory_.path(); }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root() / file).parent_path());
    std::ofstream(root() / file) << text;
  }
  void group(const std::string& name, const std::string& limit, std::int64_t used,
             std::int64_t droppable) const {
    const std::string folder = "sys/fs/cgroup/" + name;
    write(folder + "/memory.max", limit);
    write(folder + "/memory.current", std::to_string(used));
    write(folder + "/memory.stat",
          "anon 5\ninactive_file " + std::to_string(droppable) + "\nactive_file 7\n");
  }

 private:
  TemporaryDirectory directory_;
};

TEST(HostMemory, IsTheLeastOfTheMachineAndItsControlGroups) {
  const FakeSystem system;
  EXPECT_EQ(available_host_memory(system.root()), std::numeric_limits<std::int64_t>::max());
  system.write("proc/meminfo", "MemTotal:  99 kB\nMemAvailable:   8388608 kB\nSwapFree: 1 kB\n");
  EXPECT_EQ(available_host_memory(system.root()), 8 * gib);
  system.write("proc/self/cgroup", "1:name=systemd:/x\n0::/slurm/job/step\n");
  EXPECT_EQ(available_host_memory(system.root()), 8 * gib);
  system.group("slurm/job/step", "max", 3 * gib, 0);
  EXPECT_EQ(available_host_memory(system.root()), 8 * gib);
  // The job's group holds the step's.
  system.group("slurm/job", std::to_string(6 * gib), 3 * gib, gib);
  EXPECT_EQ(available_host_memory(system.root()), 4 * gib);
  system.group("slurm/job/step", std::to_string(2 * gib), 3 * gib, 0);
  EXPECT_EQ(available_host_memory(system.root()), 0);
}

TEST(HostMemory, NamesTheRanksThatDoNotFit) {
  const std::vector<MemoryDemand> ranks{{"a", 3 * gib, 8 * gib},
                                        {"b", 3 * gib, 5 * gib},
                                        {"a", 3 * gib, 7 * gib},
                                        {"b", 3 * gib, 6 * gib, 1}};
  EXPECT_EQ(memory_shortage(ranks, "a", true), "");
  EXPECT_EQ(
      memory_shortage(ranks, "b", true),
      "the 2 ranks on b (rank 1 of stage 0, rank 3 of stage 1) would take 6.00 GiB of memory, but "
      "only 5.00 GiB are available: use "
      "more machines and raise parallel.tensor, parallel.pipeline or parallel.context, set "
      "train.recompute, lower train.micro_batch or train.sequence, or make the model smaller");
  EXPECT_EQ(memory_shortage(ranks, "b", false).find("recompute"), std::string::npos);
}

}  // namespace
}  // namespace masformer::test
