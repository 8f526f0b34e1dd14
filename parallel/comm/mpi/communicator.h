// Moves host tensors between ranks by MPI. Only one thread of each rank may call MPI.
#pragma once

#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"

namespace masformer {

// Initializes and finalizes MPI. main() has one, which must outlive all communicators.
class MpiSession {
 public:
  // Collective over all ranks of the job. Throws Error if MPI cannot start.
  MpiSession(int* argc, char*** argv);
  // Finalizes MPI, which waits for all ranks. After a failure of one rank, call abort() instead.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // Makes a new group of all ranks of the job. Collective over them.
  std::unique_ptr<Communicator> world() const;
  // How many ranks of the job share this machine.
  int ranks_on_this_host() const { return ranks_on_this_host_; }
  // Ends every rank of the job with `status`; for failures of one rank that the others do not know
  // of.
  [[noreturn]] static void abort(int status);

 private:
  int ranks_on_this_host_ = 1;
};

// Makes the group of `members`, ranks of `world`, numbered in that order. `world` must come from
// MpiSession::world(). Collective over the members: each passes the same list and the same `tag`,
// which distinguishes groups that are made at the same time.
std::unique_ptr<Communicator> make_mpi_group(const Communicator& world,
                                             const std::vector<int>& members, int tag);

}  // namespace masformer
