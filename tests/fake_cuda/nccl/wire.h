// Messages between the processes of the fake of NCCL: by MPI, on MPI_COMM_WORLD, which the program
// has initialised and does not use for its own messages. Nothing here waits.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <mpi.h>

namespace fake_cuda::nccl {

using Bytes = std::vector<std::byte>;

// Stops the program unless a call of MPI succeeded.
void check_mpi(int code, const char* call);

int world_rank();

// A request of MPI and the bytes that it transfers, which do not move in memory until it is done.
class Transfer {
 public:
  // A send that is done only when its receiver has asked for it.
  static Transfer send(Bytes bytes, int to, int tag);
  // Receives the next message if one has arrived; from MPI_ANY_SOURCE, too.
  static std::optional<Transfer> receive(int from, int tag);

  bool done();
  int peer() const { return peer_; }
  const Bytes& bytes() const { return *bytes_; }

 private:
  std::unique_ptr<Bytes> bytes_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  int peer_ = 0;
};

// While MPI blocks the program, streams continue, as a device would; they do not if this MPI is not
// Open MPI. They also stop while a Busy exists, which is for calls of MPI by the fake itself.
class Busy {
 public:
  Busy();
  ~Busy();
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
};
void add_work(int pieces);  // pending pieces of streams' work; negative when they are done

}  // namespace fake_cuda::nccl
