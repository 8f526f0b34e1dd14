// Messages between the processes of the NCCL double: by MPI, on MPI_COMM_WORLD, which the program
// has initialised and has no messages of its own on. Nothing here waits.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <mpi.h>

namespace fake_cuda::nccl {

using Bytes = std::vector<std::byte>;

// What MPI reports of a call, which must have succeeded.
void check_mpi(int code, const char* call);

int world_rank();

// A request of MPI's and the bytes that it moves. The bytes stay where they are until it is done.
class Transfer {
 public:
  // A send that is done when its receiver has asked for it, and no sooner.
  static Transfer send(Bytes bytes, int to, int tag);
  // Takes in the next message that has come, if one has; from MPI_ANY_SOURCE, too.
  static std::optional<Transfer> receive(int from, int tag);

  bool done();
  int peer() const { return peer_; }
  const Bytes& bytes() const { return *bytes_; }

 private:
  std::unique_ptr<Bytes> bytes_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  int peer_ = 0;
};

// While MPI blocks the program, streams go on, as a device would. Where this MPI is not Open MPI,
// they do not.
class Busy {  // ... but not while this lives: a call of MPI's by the double itself
 public:
  Busy();
  ~Busy();
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
};
void add_work(int pieces);  // that streams have to do; negative when they have done it

}  // namespace fake_cuda::nccl
