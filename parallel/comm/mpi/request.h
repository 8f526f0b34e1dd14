// Requests of MPI; private to this folder.
#pragma once

#include <vector>

#include <mpi.h>

#include "parallel/comm/request.h"
#include "runtime/unwinding.h"

namespace masformer {

// The MPI requests of one operation, which it finishes in order.
class MpiRequests final : public PendingRequest {
 public:
  explicit MpiRequests(MPI_Datatype type);
  MpiRequests(const MpiRequests&) = delete;
  MpiRequests& operator=(const MpiRequests&) = delete;
  // Waits. During stack unwinding it frees the requests instead: the job is ending, and waiting for
  // a peer that has stopped would hide the error.
  ~MpiRequests() override;

  void add_send(MPI_Request request) { messages_.push_back({request, no_count}); }
  // `count`: how many elements of the constructor's `type` must arrive.
  void add_receive(MPI_Request request, int count) { messages_.push_back({request, count}); }

  void wait() override;
  bool done() override;

 private:
  static constexpr int no_count = -1;
  struct Message {
    MPI_Request request;
    int count;
  };

  void finish(const Message& message, const MPI_Status& status);

  MPI_Datatype type_;
  std::vector<Message> messages_;
  std::size_t finished_ = 0;  // how many of the messages, from the first on
  Unwinding unwinding_;
};

}  // namespace masformer
