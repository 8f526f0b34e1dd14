// The groups of a mesh: their members, the bytes that they count as sent, and their memory.
#include "parallel/comm/process_groups.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/staged/communicator.h"
#include "parallel/sharding.h"
#include "tests/support/transports.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using test::Cargo;
using test::world;

std::vector<Mesh> meshes_of(int ranks) {
  std::vector<Mesh> meshes;
  for (int p = 1; p <= ranks; ++p) {
    for (int d = 1; d <= ranks; ++d) {
      for (int c = 1; c <= ranks; ++c) {
        if (ranks % (p * d * c) == 0) meshes.push_back({p, d, c, ranks / (p * d * c)});
      }
    }
  }
  return meshes;
}

double sum_by_collective(const test::Way& way, Communicator& group, double own) {
  Cargo<double> number(way, {own});
  group.all_reduce(number, Reduction::sum).wait();
  return number.values()[0];
}

// Computes the same sum by messages around a ring.
double sum_by_messages(const test::Way& way, Communicator& group, double own) {
  const int ranks = group.size();
  Cargo<double> sent(way, {own}), received(way, {0});
  double sum = own;
  for (int step = 1; step < ranks; ++step) {
    Request send = group.send(sent, (group.rank() + 1) % ranks);
    group.receive(received, (group.rank() + ranks - 1) % ranks).wait();
    send.wait();
    sent.values() = received.values();
    sent.put();
    sum += received.values()[0];
  }
  return sum;
}

// Sums by each kind of operation that the group has.
void expect_sum(const test::Way& way, Communicator& group, double own, double expected) {
  const GroupTraits traits = group.traits();
  EXPECT_TRUE(traits.collectives || traits.messages);
  if (traits.collectives) {
    EXPECT_EQ(sum_by_collective(way, group, own), expected);
  }
  if (traits.messages) {
    EXPECT_EQ(sum_by_messages(way, group, own), expected);
  }
}

class Groups : public test::OnEachWay {};
INSTANTIATE_TEST_SUITE_P(, Groups, testing::ValuesIn(test::ways()), test::name_of_way);

// NVLink SHARP may sum in another order each time.
TEST_P(Groups, DisableNvlinkSharpOnADeterministicStream) {
  if (!GetParam().nccl()) GTEST_SKIP() << "MPI sums in the order of ranks";
  const char* const own = std::getenv("NCCL_NVLS_ENABLE");
  const std::string before = own != nullptr ? own : "";
  unsetenv("NCCL_NVLS_ENABLE");
  const Stream stream(test::device(), 1, world().rank(), true);
  const auto group = make_nccl_communicator(test::private_world(8), stream, {.name = "data"});
  const char* const switches = std::getenv("NCCL_NVLS_ENABLE");
  EXPECT_STREQ(switches != nullptr ? switches : "not set", "0");
  if (own != nullptr) setenv("NCCL_NVLS_ENABLE", before.c_str(), 1);
}

TEST_P(Groups, ConsistOfTheRanksThatTheMeshSays) {
  for (const Mesh& mesh : meshes_of(world().size())) {
    const ProcessGroups groups = test::make_groups(GetParam(), mesh);
    EXPECT_EQ(groups.at, mesh.coordinate(world().rank()));
    for (const Axis axis : all_axes) {
      Communicator& group = groups.along(axis);
      const bool replicas = axis == Axis::data;
      ASSERT_EQ(group.size(), replicas ? mesh.replicas() : mesh.extent(axis)) << mesh.to_string();
      ASSERT_EQ(group.rank(), replicas ? mesh.replica(groups.at) : groups.at.along(axis));
      double expected = 0;
      const std::vector<int> members =
          replicas ? mesh.replica_group(world().rank()) : mesh.group(world().rank(), axis);
      for (const int member : members) expected += 1 << member;
      ASSERT_EQ(sum_over(group, 1 << world().rank()), expected) << mesh.to_string();
      SCOPED_TRACE(mesh.to_string());
      expect_sum(GetParam(), group, 1 << world().rank(), expected);
      const bool sends = axis == Axis::pipe || axis == Axis::context;
      EXPECT_TRUE(!sends || group.size() == 1 || group.traits().messages);
    }
    const bool first_or_last = groups.at.pipe == 0 || groups.at.pipe == mesh.pipe - 1;
    const int members = mesh.pipe > 1 && first_or_last ? 2 : 1;
    ASSERT_EQ(groups.embedding->size(), members);
    const int expected = members == 2 ? mesh.pipe - 1 : groups.at.pipe;
    ASSERT_EQ(sum_over(*groups.embedding, groups.at.pipe), expected);
    expect_sum(GetParam(), *groups.embedding, groups.at.pipe, expected);
  }
}

class Counts : public test::OnEachWay {};
INSTANTIATE_TEST_SUITE_P(, Counts, testing::ValuesIn(test::ways()), test::name_of_way);

TEST_P(Counts, SentBytesEqualTheClosedForm) {
  using enum Operation;
  const ProcessGroups groups = test::make_groups(GetParam(), {.pipe = world().size()});
  Communicator& group = *groups.world;
  Communicator& pipe = GetParam().nccl() ? *groups.pipe : group;
  const int ranks = group.size();
  const std::int64_t bytes = 8000;
  const int to = (group.rank() + 1) % ranks;
  const int from = (group.rank() + ranks - 1) % ranks;
  SentBytes expected;
  const auto grows_by = [&](Operation kind, std::int64_t more) {
    expected[kind] += more;
    EXPECT_EQ(&group == &pipe ? group.sent_bytes() : group.sent_bytes() + pipe.sent_bytes(),
              expected);
  };
  Cargo<double> values(GetParam(), std::vector<double>(1000), {100, 10});
  group.all_reduce(values, Reduction::sum).wait();
  grows_by(all_reduce, 2 * (ranks - 1) * bytes / ranks);
  group.broadcast(values, 0).wait();
  grows_by(broadcast, ranks > 1 && group.rank() == 0 ? bytes : 0);
  Cargo<double> other(GetParam(), std::vector<double>(1000), {100, 10});
  Request sending = pipe.send(values, to);
  grows_by(send, bytes);
  pipe.receive(other, from).wait();
  sending.wait();
  const std::int64_t own = shard_range(100, ranks, group.rank()).count * 80;
  group.reduce_scatter(values).wait();
  grows_by(reduce_scatter, bytes - own);
  group.all_gather(values).wait();
  grows_by(all_gather, (ranks - 1) * own);
  Cargo<bfloat16> halves(GetParam(), std::vector<bfloat16>(1001));
  const std::int64_t own_halves = shard_range(1001, ranks, group.rank()).count * 2;
  group.all_reduce(halves, Reduction::sum).wait();
  grows_by(all_reduce, 2002 - own_halves + (ranks - 1) * own_halves);
  group.all_gather("control");
  group.barrier();
  grows_by(send, 0);
}

// Memory that was allocated once is reused, as staged/communicator.h says.
TEST_P(Counts, WorkingMemoryEqualsThePlan) {
  const ProcessGroups groups = test::make_groups(GetParam(), {.pipe = world().size()});
  const int ranks = world().size();
  EXPECT_EQ(groups.working_memory(), 0);
  const std::int64_t summed = GetParam().nccl() ? 0 : reduce_scatter_memory(ranks);
  const std::int64_t collectives = summed + (groups.staged() ? staging_memory(ranks) : 0);
  for (int time = 0; time < 2; ++time) {
    Cargo<float> matrix(GetParam(), std::vector<float>(5 << 20), {5, 1 << 20});
    groups.world->reduce_scatter(matrix).wait();
    groups.world->all_gather(matrix).wait();
    groups.world->all_reduce(matrix, Reduction::sum).wait();
    groups.world->broadcast(matrix, 0).wait();
    EXPECT_EQ(groups.working_memory(), collectives);
  }
  if (ranks == 1) return;
  const int to = (world().rank() + 1) % ranks, from = (world().rank() + ranks - 1) % ranks;
  for (int time = 0; time < 2; ++time) {
    Cargo<float> one(GetParam(), std::vector<float>(1600)), two(GetParam(), one.values()),
        three(GetParam(), one.values());
    Request first = groups.pipe->send(one, to), second = groups.pipe->send(two, to);
    groups.pipe->receive(three, from).wait();
    groups.pipe->receive(three, from).wait();
    first.wait();
    second.wait();
    EXPECT_EQ(groups.working_memory(),
              collectives + (groups.staged() ? 3 * staged_message_memory(6400) : 0));
  }
}

}  // namespace
}  // namespace masformer
