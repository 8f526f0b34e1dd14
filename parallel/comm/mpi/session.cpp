#include <cstdio>
#include <cstdlib>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/mpi/support.h"
#include "runtime/error.h"

namespace masformer {
namespace {

OwnedComm ranks_of_this_host() {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm),
            "MPI_Comm_split_type");
  return OwnedComm(comm);
}

bool mpi_is_running() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

}  // namespace

MpiSession::MpiSession(int* argc, char*** argv) {
  require(!mpi_is_running(), "MPI is already initialized: a process can have only one MpiSession");
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  require(provided >= MPI_THREAD_FUNNELED,
          "this MPI library does not support threads (MPI_THREAD_FUNNELED); use one that does");
  for (const MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF}) {
    check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }
  const OwnedComm host = ranks_of_this_host();
  check_mpi(MPI_Comm_size(host.get(), &ranks_on_this_host_), "MPI_Comm_size");
}

MpiSession::~MpiSession() {
  if (mpi_is_running()) MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::world() const {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return make_mpi_communicator(OwnedComm(comm));
}

void MpiSession::abort(int status) {
  std::fflush(nullptr);  // MPI_Abort loses what was printed but not yet written
  if (mpi_is_running()) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace masformer
