// What the files of this folder share; only they and tests include it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <mpi.h>

#include "parallel/comm/communicator.h"
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

// The place of an element of a contiguous tensor.
char* element(const Tensor& x, std::int64_t index);

// MPI counts in int, and transports have trouble above 2 GiB.
constexpr std::int64_t longest_message = std::int64_t{1} << 30;  // bytes

// The pieces that a message of these elements goes in, in order, none above `max_bytes`. Nothing
// for an empty message.
std::vector<ShardRange> message_pieces(ShardRange elements, std::int64_t element_bytes,
                                       std::int64_t max_bytes = longest_message);

// Takes the handle over; its errors are returned, not fatal, from here on.
std::unique_ptr<Communicator> make_mpi_communicator(OwnedComm comm);

}  // namespace masformer
