// Ranks that talk by MPI over host memory. One thread of a rank issues all of its MPI.
#pragma once

#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"

namespace masformer {

// Owns MPI itself: one object in main(), before the first communicator and after the last.
class MpiSession {
 public:
  // Collective over all ranks of the job. Throws Error where MPI can't start.
  MpiSession(int* argc, char*** argv);
  // Ends MPI, and waits for every rank to come here: after a failure of one rank, abort() instead.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // All ranks of the job; each call makes a new group. Collective over them.
  std::unique_ptr<Communicator> world() const;
  // How many ranks of the job share this machine.
  int ranks_on_this_host() const { return ranks_on_this_host_; }
  // Ends every rank of the job with `status`; for failures that the other ranks don't know of.
  [[noreturn]] static void abort(int status);

 private:
  int ranks_on_this_host_ = 1;
};

// The group of `members` (ranks of `world`, which the object must have come from
// MpiSession::world), numbered in that order. Collective over exactly these ranks: each calls it
// with the same list and the same `tag`, which tells groups apart that are made at the same time.
std::unique_ptr<Communicator> make_mpi_group(const Communicator& world,
                                             const std::vector<int>& members, int tag);

}  // namespace masformer
