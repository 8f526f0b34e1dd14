#include "parallel/comm/mpi/request.h"

#include "parallel/comm/mpi/support.h"
#include "runtime/error.h"

namespace masformer {

MpiRequests::MpiRequests(MPI_Datatype type) : type_(type) {}

MpiRequests::~MpiRequests() {
  for (; finished_ < messages_.size(); ++finished_) {
    MPI_Request& request = messages_[finished_].request;
    if (unwinding_.now()) {
      MPI_Request_free(&request);
    } else {
      MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
  }
}

void MpiRequests::wait() {
  while (finished_ < messages_.size()) {
    MPI_Status status;
    check_mpi(MPI_Wait(&messages_[finished_].request, &status), "MPI_Wait");
    finish(messages_[finished_], status);
  }
}

bool MpiRequests::done() {
  while (finished_ < messages_.size()) {
    MPI_Status status;
    int flag = 0;
    check_mpi(MPI_Test(&messages_[finished_].request, &flag, &status), "MPI_Test");
    if (flag == 0) return false;
    finish(messages_[finished_], status);
  }
  return true;
}

void MpiRequests::finish(const Message& message, const MPI_Status& status) {
  ++finished_;
  if (message.count == no_count) return;
  int count = 0;
  check_mpi(MPI_Get_count(&status, type_, &count), "MPI_Get_count");
  require(count == message.count, "rank {} of the group sent {} elements, but {} were expected",
          status.MPI_SOURCE, count, message.count);
}

}  // namespace masformer
