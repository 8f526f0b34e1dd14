// Helpers for the files of this folder; only they and tests include this header.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <mpi.h>

#include "parallel/comm/communicator.h"
#include "parallel/sharding.h"

namespace masformer {

// Throws Error with MPI's message if `code`, which `call` returned, is not MPI_SUCCESS.
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

// The address of an element of a contiguous tensor.
char* element(const Tensor& x, std::int64_t index);

// MPI counts in int, and some transports fail above 2 GiB.
constexpr std::int64_t longest_message = std::int64_t{1} << 30;  // bytes

// Cuts a message of these elements into pieces of at most `max_bytes`, in order. An empty message
// has none.
std::vector<ShardRange> message_pieces(ShardRange elements, std::int64_t element_bytes,
                                       std::int64_t max_bytes = longest_message);

// Takes ownership of `comm`, and makes MPI return its errors instead of aborting.
std::unique_ptr<Communicator> make_mpi_communicator(OwnedComm comm);

}  // namespace masformer
