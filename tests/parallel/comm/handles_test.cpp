// Owners of handles free them: after many cycles of making and destroying, no handle of MPI, HDF5
// or the system is left, whether the cycle succeeded or threw.
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/comm/mpi/support.h"
#include "parallel/comm/process_groups.h"
#include "runtime/error.h"
#include "tests/support/nothing_kept.h"
#include "tests/support/shared_directory.h"
#include "tests/support/synthetic_checkpoint.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

// Handles of MPI that were acquired and not freed.
struct MpiHandles {
  int communicators = 0, groups = 0, requests = 0;

  bool operator==(const MpiHandles&) const = default;
} held_by_mpi;

void PrintTo(const MpiHandles& held, std::ostream* out) {
  *out << held.communicators << " communicators, " << held.groups << " groups, " << held.requests
       << " requests";
}

// Counts a request as freed if the call set it to null.
int counted(int code, MPI_Request before, MPI_Request after) {
  if (before != MPI_REQUEST_NULL && after == MPI_REQUEST_NULL) --held_by_mpi.requests;
  return code;
}

}  // namespace
}  // namespace masformer::test

// Intercepts every MPI function by which parallel/ acquires or frees a handle.
extern "C" {

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm* made) {
  ++masformer::test::held_by_mpi.communicators;
  return PMPI_Comm_dup(comm, made);
}
int MPI_Comm_create_group(MPI_Comm comm, MPI_Group group, int tag, MPI_Comm* made) {
  ++masformer::test::held_by_mpi.communicators;
  return PMPI_Comm_create_group(comm, group, tag, made);
}
int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* made) {
  ++masformer::test::held_by_mpi.communicators;
  return PMPI_Comm_split_type(comm, type, key, info, made);
}
int MPI_Comm_free(MPI_Comm* comm) {
  --masformer::test::held_by_mpi.communicators;
  return PMPI_Comm_free(comm);
}
int MPI_Comm_group(MPI_Comm comm, MPI_Group* made) {
  ++masformer::test::held_by_mpi.groups;
  return PMPI_Comm_group(comm, made);
}
int MPI_Group_incl(MPI_Group group, int size, const int* ranks, MPI_Group* made) {
  ++masformer::test::held_by_mpi.groups;
  return PMPI_Group_incl(group, size, ranks, made);
}
int MPI_Group_free(MPI_Group* group) {
  --masformer::test::held_by_mpi.groups;
  return PMPI_Group_free(group);
}
int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request* request) {
  ++masformer::test::held_by_mpi.requests;
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}
int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request* request) {
  ++masformer::test::held_by_mpi.requests;
  return PMPI_Irecv(data, count, type, from, tag, comm, request);
}
int MPI_Wait(MPI_Request* request, MPI_Status* status) {
  const MPI_Request before = *request;
  const int code = PMPI_Wait(request, status);
  return masformer::test::counted(code, before, *request);
}
int MPI_Test(MPI_Request* request, int* flag, MPI_Status* status) {
  const MPI_Request before = *request;
  const int code = PMPI_Test(request, flag, status);
  return masformer::test::counted(code, before, *request);
}
int MPI_Request_free(MPI_Request* request) {
  const MPI_Request before = *request;
  const int code = PMPI_Request_free(request);
  return masformer::test::counted(code, before, *request);
}

}  // extern "C"

namespace masformer::test {
namespace {

// Like expect_nothing_kept(), but also expects each cycle to free all handles of MPI that it
// acquires.
void expect_nothing_kept_of_mpi(const std::function<void(int)>& cycle) {
  const MpiHandles before = held_by_mpi;
  expect_nothing_kept([&](int i) {
    cycle(i);
    ASSERT_EQ(held_by_mpi, before) << "cycle " << i;
  });
}

ProcessGroups make_private(const Mesh& mesh) {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return make_process_groups(make_mpi_communicator(OwnedComm(comm)), mesh);
}

// Every operation, with all ends that a request can have: waited for, polled, or destroyed.
void exchange(Communicator& group) {
  std::vector<float> ours(static_cast<std::size_t>(group.size()) * 1000, 1.0F), theirs = ours;
  const auto elements = static_cast<std::int64_t>(ours.size());
  const Tensor x(ours.data(), {elements}, DType::f32, Device::cpu);
  const Tensor y(theirs.data(), {elements}, DType::f32, Device::cpu);
  group.all_reduce(x, Reduction::max).wait();
  group.broadcast(x, 0).wait();
  { const Request destroyed = group.reduce_scatter(x); }
  Request polled = group.all_gather(x);
  while (!polled.done()) continue;
  if (group.size() == 1) return;
  Request received = group.receive(y, (group.rank() + 1) % group.size());
  const Request sent = group.send(x, (group.rank() + group.size() - 1) % group.size());
  received.wait();
}

// Messages that are abandoned because an exception ends their scope.
void exchange_and_fail(Communicator& group, std::vector<float>& memory) {
  if (group.size() == 1) return;
  const auto half = static_cast<std::int64_t>(memory.size() / 2);
  const Tensor all(memory.data(), {2, half}, DType::f32, Device::cpu);
  const auto fail_in_between = [&] {
    const Request received = group.receive(all.slice(0, 0, 1), group.size() - 1 - group.rank());
    const Request sent = group.send(all.slice(0, 1, 1), group.size() - 1 - group.rank());
    fail("on purpose");
  };
  EXPECT_THROW(fail_in_between(), Error);
  group.barrier();
}

std::vector<Mesh> meshes() {
  const int n = world().size();
  if (n == 1) return {Mesh{}};
  return {{n, 1, 1, 1}, {1, n, 1, 1},     {1, 1, n, 1},
          {1, 1, 1, n}, {2, n / 2, 1, 1}, {1, 2, 1, n / 2}};
}

TEST(Handles, CommunicatorsAndMessagesFreeTheirs) {
  std::vector<float> memory(2000);  // outlives abandoned messages
  expect_nothing_kept_of_mpi([&](int i) {
    const auto all = meshes();
    const ProcessGroups made = make_private(all[static_cast<std::size_t>(i) % all.size()]);
    // One group per cycle: on few cores, each exchange takes milliseconds.
    const std::array groups{made.world.get(),    made.tensor.get(), made.context.get(),
                            made.replicas.get(), made.pipe.get(),   made.embedding.get()};
    Communicator& group = *groups[static_cast<std::size_t>(i) / all.size() % groups.size()];
    exchange(group);
    exchange_and_fail(group, memory);
    const Mesh wrong{1, 1, 1, world().size() + 1};
    EXPECT_THROW(make_private(wrong), Error);
  });
}

// A tensor of which each rank has some rows, and one that only rank 0 has.
SyntheticPieces make_pieces() {
  SyntheticPieces pieces;
  const int ranks = world().size();
  pieces.add("rows", {4 * ranks, 100}, {{4 * world().rank(), 0}, {4, 100}});
  if (world().rank() == 0) pieces.add("whole", {7}, whole({7}));
  return pieces;
}

void read_back(const std::filesystem::path& directory) {
  CheckpointReader reader(directory);
  const Extents shape{4 * world().size(), 100};
  EXPECT_EQ(read_bits(reader, "rows", whole(shape)), synthetic_bits("rows", shape, whole(shape)));
  EXPECT_EQ(read_bits(reader, "whole", {{2}, {3}}), synthetic_bits("whole", {7}, {{2}, {3}}));
  EXPECT_THROW(read_bits(reader, "nothing", {{0}, {1}}), Error);
}

TEST(Handles, CheckpointsFreeTheirs) {
  const SharedDirectory folder(world());
  const SyntheticPieces pieces = make_pieces();
  SyntheticPieces incomplete;
  incomplete.add("rows", {2, 100}, {{0, 0}, {1, 100}});
  expect_nothing_kept_of_mpi([&](int) {
    const auto directory = checkpoint_path(folder.path(), 1);
    write_checkpoint(world(), directory, {{"step", 1}}, pieces.all());
    EXPECT_TRUE(find_newest(world(), folder.path()));
    read_back(directory);
    EXPECT_THROW(write_checkpoint(world(), directory, {}, incomplete.all()), Error);
    EXPECT_THROW(CheckpointReader(folder / "nothing"), Error);
    world().barrier();
  });
}

}  // namespace
}  // namespace masformer::test
