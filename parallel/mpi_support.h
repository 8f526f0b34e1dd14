// What the mpi_*.cpp files share; no other file includes it, tests apart.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <mpi.h>

#include "parallel/communicator.h"
#include "parallel/sharding.h"

namespace masformer {

// Throws Error with MPI's own words where `code`, returned by `call`, is not success.
void check_mpi(int code, const char* call);

// Owns an MPI_Comm. Empty after a move.
class OwnedComm {
 public:
  explicit OwnedComm(MPI_Comm comm) : comm_(comm) {}
  OwnedComm(const OwnedComm&) = delete;
  OwnedComm& operator=(const OwnedComm&) = delete;
  OwnedComm(OwnedComm&& other) noexcept;
  OwnedComm& operator=(OwnedComm&& other) noexcept;
  ~OwnedComm();

  MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_;
};

MPI_Datatype mpi_type(DType dtype);

// MPI counts in int, and transports have trouble above 2 GiB: the pieces that a message of
// `elements` goes in, in order, none above 1 GiB. Nothing for an empty message.
std::vector<Part> message_pieces(std::int64_t elements, std::int64_t element_bytes);

// Takes the handle over; its errors are returned, not fatal, from here on.
std::unique_ptr<Communicator> make_mpi_communicator(OwnedComm comm);

}  // namespace masformer
