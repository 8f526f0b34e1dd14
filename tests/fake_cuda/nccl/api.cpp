// The functions of nccl.h that the program uses, on the fake's CUDA streams and MPI. Communicators
// are non-blocking.
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "tests/fake_cuda/nccl/communicator.h"
#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/stream.h"

namespace {

using fake_cuda::report;
using fake_cuda::nccl::Call;
using fake_cuda::nccl::Id;
using fake_cuda::nccl::Kind;

struct Issued {
  ncclComm_t comm;
  cudaStream_t stream;
  Call call;
};

std::map<ncclComm_t, std::unique_ptr<ncclComm>> communicators;
int open_groups = 0;
std::vector<Issued> issued;  // calls in the open group

ncclResult_t worst(ncclResult_t a, ncclResult_t b) {
  return a == ncclSuccess ? b : a;
}

// Launches the calls of each communicator, in the order of their first calls.
ncclResult_t launch_all() {
  std::vector<Issued> rest = std::exchange(issued, {});
  ncclResult_t result = ncclSuccess;
  while (!rest.empty()) {
    const auto [comm, stream, first] = rest.front();
    std::vector<Call> calls;
    for (const Issued& each : rest) {
      if (each.comm != comm) continue;
      if (each.stream != stream) report("a group uses one communicator on several streams");
      calls.push_back(each.call);
    }
    std::erase_if(rest, [comm = comm](const Issued& each) { return each.comm == comm; });
    comm->launch(std::move(calls), stream);
    result = worst(result, comm->idle() ? ncclSuccess : ncclInProgress);
  }
  return result;
}

// Communicators to abort at the end of the open group.
std::vector<ncclComm_t> aborted;

// Frees memory, for which CUDA waits for the whole device.
void end_aborted() {
  if (aborted.empty()) return;
  fake_cuda::run_device();
  for (const ncclComm_t each : std::exchange(aborted, {})) communicators.erase(each);
}

bool is_right(const Call& call, int size) {
  const bool reduces = call.kind == Kind::all_reduce || call.kind == Kind::reduce ||
                       call.kind == Kind::reduce_scatter;
  if (fake_cuda::nccl::size_of(call.type) == 0 || call.root < 0 || call.root >= size) return false;
  return !reduces || call.op == ncclSum || call.op == ncclMax;
}

ncclResult_t issue(const Call& call, ncclComm_t comm, cudaStream_t stream) {
  if (!communicators.contains(comm)) report("a communicator is used that does not exist");
  if (!comm->idle()) return ncclInvalidArgument;  // NCCL is still busy
  if (!is_right(call, comm->size()) || !fake_cuda::is_stream(stream)) return ncclInvalidArgument;
  const bool message = call.kind == Kind::send || call.kind == Kind::receive;
  if (message && call.root == comm->members().rank) report("a rank sends a message to itself");
  fake_cuda::nccl::check_operands(call, comm->members().rank, comm->size());
  issued.push_back({comm, stream, call});
  return open_groups > 0 ? ncclSuccess : launch_all();
}

}  // namespace

// Reports the first version that lets ranks share a device.
ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION(2, 30, 0);
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int serial = 0;
  const Id content{fake_cuda::nccl::world_rank(), serial++};
  std::memset(id, 0, sizeof *id);
  std::memcpy(id, &content, sizeof content);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (!config || config->magic != 0xcafebeef || config->blocking != 0)
    report("the fake has only non-blocking communicators");
  if (size < 1 || rank < 0 || rank >= size) return ncclInvalidArgument;
  Id content{};
  std::memcpy(&content, &id, sizeof content);
  auto made = std::make_unique<ncclComm>(content, size, rank);
  *comm = made.get();
  communicators[*comm] = std::move(made);
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (!communicators.contains(comm)) report("a communicator is asked that does not exist");
  *error = comm->poll();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (!communicators.contains(comm) || !comm->idle()) return ncclInvalidArgument;
  comm->finalize();
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!communicators.contains(comm)) return ncclInvalidArgument;
  if (!comm->finalized()) report("a communicator is destroyed before it is finalized");
  communicators.erase(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!communicators.contains(comm)) return ncclInvalidArgument;
  std::erase_if(issued, [comm](const Issued& each) { return each.comm == comm; });
  comm->abort();
  if (comm->stalled()) fake_cuda::run_device();  // joins the thread that launches
  aborted.push_back(comm);
  if (open_groups == 0) end_aborted();
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "operation in progress";
    default:
      return "an error unknown to the fake";
  }
}

const char* ncclGetLastError(ncclComm_t) {
  return "this is a fake";
}

ncclResult_t ncclGroupStart() {
  ++open_groups;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (open_groups == 0) return ncclInvalidUsage;
  if (--open_groups > 0) return ncclSuccess;
  end_aborted();
  return launch_all();
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::all_reduce, from, to, count, type, op}, comm, stream);
}

ncclResult_t ncclReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::reduce, from, to, count, type, op, root}, comm, stream);
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::broadcast, from, to, count, type, ncclSum, root}, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::reduce_scatter, from, to, count, type, op}, comm, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::all_gather, from, to, count, type}, comm, stream);
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return issue({Kind::send, from, nullptr, count, type, ncclSum, peer}, comm, stream);
}

ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return issue({Kind::receive, nullptr, to, count, type, ncclSum, peer}, comm, stream);
}
