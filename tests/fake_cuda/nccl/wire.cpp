#include "tests/fake_cuda/nccl/wire.h"

#include <dlfcn.h>
#include <utility>

#include "tests/fake_cuda/report.h"
#include "tests/fake_cuda/stream.h"

namespace fake_cuda::nccl {
namespace {

int busy = 0, work = 0;

// Open MPI calls this repeatedly while one of its functions waits.
int progress_streams() {
  if (busy > 0 || work == 0) return 0;
  const Busy here;
  try_each_once();
  return 0;
}

// Open MPI has this function, but not in its headers: int opal_progress_register(int
// (*callback)()).
void register_progress() {
  using Register = int(int (*)());
  static const auto add =
      reinterpret_cast<Register*>(dlsym(RTLD_DEFAULT, "opal_progress_register"));
  static const bool added = add != nullptr && add(progress_streams) == 0;
  static_cast<void>(added);
}

}  // namespace

Busy::Busy() {
  ++busy;
}
Busy::~Busy() {
  --busy;
}

void add_work(int pieces) {
  register_progress();
  work += pieces;
}

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) report("{} of the fake of NCCL failed with code {}", call, code);
}

int world_rank() {
  int rank = 0;
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  return rank;
}

Transfer Transfer::send(Bytes bytes, int to, int tag) {
  const Busy here;
  Transfer transfer;
  transfer.bytes_ = std::make_unique<Bytes>(std::move(bytes));
  transfer.peer_ = to;
  check_mpi(MPI_Issend(transfer.bytes_->data(), static_cast<int>(transfer.bytes_->size()), MPI_BYTE,
                       to, tag, MPI_COMM_WORLD, &transfer.request_),
            "MPI_Issend");
  return transfer;
}

std::optional<Transfer> Transfer::receive(int from, int tag) {
  const Busy here;
  int found = 0, size = 0;
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  check_mpi(MPI_Improbe(from, tag, MPI_COMM_WORLD, &found, &message, &status), "MPI_Improbe");
  if (!found) return std::nullopt;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &size), "MPI_Get_count");
  Transfer transfer;
  transfer.bytes_ = std::make_unique<Bytes>(static_cast<std::size_t>(size));
  transfer.peer_ = status.MPI_SOURCE;
  check_mpi(MPI_Imrecv(transfer.bytes_->data(), size, MPI_BYTE, &message, &transfer.request_),
            "MPI_Imrecv");
  return transfer;
}

bool Transfer::done() {
  const Busy here;
  int flag = 0;
  check_mpi(MPI_Test(&request_, &flag, MPI_STATUS_IGNORE), "MPI_Test");
  return flag != 0;
}

}  // namespace fake_cuda::nccl
