#include "parallel/comm/mpi/support.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "runtime/error.h"

namespace masformer {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  fail("{} failed: {}", call, std::string_view(text.data(), static_cast<std::size_t>(length)));
}

OwnedComm::OwnedComm(OwnedComm&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}

OwnedComm& OwnedComm::operator=(OwnedComm&& other) noexcept {
  std::swap(comm_, other.comm_);
  return *this;
}

OwnedComm::~OwnedComm() {
  if (comm_ == MPI_COMM_NULL) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) MPI_Comm_free(&comm_);
}

MPI_Datatype mpi_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::bf16:
      return MPI_UINT16_T;  // bf16 is only moved by MPI, never reduced
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

char* element(const Tensor& x, std::int64_t index) {
  return static_cast<char*>(x.raw()) + index * size_of(x.dtype());
}

std::vector<ShardRange> message_pieces(ShardRange elements, std::int64_t element_bytes,
                                       std::int64_t max_bytes) {
  const std::int64_t most = max_bytes / element_bytes;
  const std::int64_t end = elements.begin + elements.count;
  std::vector<ShardRange> pieces;
  for (std::int64_t begin = elements.begin; begin < end; begin += most) {
    pieces.push_back({begin, std::min(most, end - begin)});
  }
  return pieces;
}

}  // namespace masformer
