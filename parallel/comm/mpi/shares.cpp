#include "parallel/comm/mpi/shares.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "parallel/comm/mpi/request.h"
#include "parallel/comm/mpi/support.h"
#include "runtime/error.h"
#include "runtime/unwinding.h"

namespace masformer {
namespace {

// The size of the messages between two ranks. It falls with the number of ranks, within bounds.
std::int64_t piece_bytes(int ranks) {
  constexpr std::int64_t together = 8 << 20, least = 1 << 16, most = 1 << 20;
  return std::clamp(together / ranks, least, most);
}

MPI_Request start_send(const ShareGroup& group, const Tensor& x, ShardRange elements, int to) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(element(x, elements.begin), static_cast<int>(elements.count),
                      mpi_type(x.dtype()), to, group.tag, group.comm, &request),
            "MPI_Isend");
  return request;
}

// Receives `count` elements.
void start_receive(const ShareGroup& group, void* into, DType dtype, std::int64_t count, int from,
                   MpiRequests& requests) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(into, static_cast<int>(count), mpi_type(dtype), from, group.tag, group.comm,
                      &request),
            "MPI_Irecv");
  requests.add_receive(request, static_cast<int>(count));
}

// to[i] = sum over p of parts[p][i], summed in the type Sum. The starts of the `count` parts are
// `stride` bytes apart.
template <class T, class Sum = T>
void sum_parts(const char* parts, int count, std::int64_t stride, std::int64_t elements, void* to) {
  auto* const y = static_cast<T*>(to);
  constexpr std::int64_t block = 256;
  Sum sums[block];
  for (std::int64_t begin = 0; begin < elements; begin += block) {
    const std::int64_t size = std::min(block, elements - begin);
    for (int part = 0; part < count; ++part) {
      const T* const x = reinterpret_cast<const T*>(parts + part * stride) + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < size; ++i) sums[i] = part == 0 ? Sum(x[i]) : sums[i] + Sum(x[i]);
    }
    for (std::int64_t i = 0; i < size; ++i) y[begin + i] = T(sums[i]);
  }
}

void sum_parts(DType dtype, const char* parts, int count, std::int64_t stride,
               std::int64_t elements, void* to) {
  switch (dtype) {
    case DType::f32:
      return sum_parts<float>(parts, count, stride, elements, to);
    case DType::bf16:
      return sum_parts<bfloat16, float>(parts, count, stride, elements, to);
    case DType::f64:
      return sum_parts<double>(parts, count, stride, elements, to);
    case DType::i32:
      return sum_parts<std::int32_t>(parts, count, stride, elements, to);
  }
}

// The pieces in which the rows of rank `owner` are sent. Sender and receiver cut them alike.
std::vector<ShardRange> pieces_of(const ShareGroup& group, const Tensor& x, int owner) {
  const ShardRange rows = shard_range(x.dim(0), group.size, owner);
  const std::int64_t columns = x.dim(0) > 0 ? x.elements() / x.dim(0) : 0;
  return message_pieces({rows.begin * columns, rows.count * columns}, size_of(x.dtype()),
                        piece_bytes(group.size));
}

}  // namespace

// Sends every rank its rows at once. Receives its own rows piece by piece from all other ranks.
class ReduceScatter {
 public:
  // `previous`: the operation that uses the working memory before this one; may be null.
  ReduceScatter(const ShareGroup& group, const Tensor& x, std::shared_ptr<ReduceScatter> previous,
                std::shared_ptr<std::vector<char>> arrived)
      : group_(group),
        x_(x),
        sends_(mpi_type(x.dtype())),
        own_(pieces_of(group, x, group.rank)),
        previous_(std::move(previous)),
        arrived_(std::move(arrived)) {
    for (int step = 1; step < group_.size; ++step) {
      const int to = (group_.rank + step) % group_.size;
      for (const ShardRange& piece : pieces_of(group_, x_, to)) {
        sends_.add_send(start_send(group_, x_, piece, to));
      }
    }
  }

  void wait() {
    if (previous_) previous_->wait();
    previous_.reset();
    while (piece_ < own_.size()) {
      if (!receives_) receive_piece();
      receives_->wait();
      add_piece();
    }
    sends_.wait();
  }

  bool done() {
    if (previous_ && !previous_->done()) return false;
    previous_.reset();
    while (piece_ < own_.size()) {
      if (!receives_) receive_piece();
      if (!receives_->done()) return false;
      add_piece();
    }
    return sends_.done();
  }

 private:
  // Where the piece of rank `from` arrives. This rank's own piece is copied there before the sum.
  char* slot(int from) { return arrived_->data() + from * piece_bytes(group_.size); }

  void receive_piece() {
    receives_ = std::make_unique<MpiRequests>(mpi_type(x_.dtype()));
    for (int from = 0; from < group_.size; ++from) {
      if (from == group_.rank) continue;
      start_receive(group_, slot(from), x_.dtype(), own_[piece_].count, from, *receives_);
    }
  }

  void add_piece() {
    const ShardRange piece = own_[piece_];
    const auto bytes = static_cast<std::size_t>(piece.count * size_of(x_.dtype()));
    char* const sum = element(x_, piece.begin);
    std::memcpy(slot(group_.rank), sum, bytes);
    sum_parts(x_.dtype(), slot(0), group_.size, piece_bytes(group_.size), piece.count, sum);
    ++piece_;
    receives_.reset();
  }

  ShareGroup group_;
  Tensor x_;
  MpiRequests sends_;
  std::vector<ShardRange> own_;
  std::size_t piece_ = 0;                    // the piece of own_ that is being received
  std::shared_ptr<ReduceScatter> previous_;  // null once it has released the working memory
  std::shared_ptr<std::vector<char>> arrived_;
  std::unique_ptr<MpiRequests> receives_;  // of the piece; destroyed before arrived_
};

namespace {

// The request of a reduce-scatter. Shares ownership, because the next reduce-scatter may also wait
// for it.
class SharedEnd final : public PendingRequest {
 public:
  explicit SharedEnd(std::shared_ptr<ReduceScatter> operation) : operation_(std::move(operation)) {}
  SharedEnd(const SharedEnd&) = delete;
  SharedEnd& operator=(const SharedEnd&) = delete;
  ~SharedEnd() override {
    if (unwinding_.now()) return;
    try {
      operation_->wait();
    } catch (const Error&) {  // nobody waits for the result
    }
  }

  void wait() override { operation_->wait(); }
  bool done() override { return operation_->done(); }

 private:
  std::shared_ptr<ReduceScatter> operation_;
  Unwinding unwinding_;
};

}  // namespace

std::int64_t reduce_scatter_memory(int ranks) {
  return ranks == 1 ? 0 : ranks * piece_bytes(ranks);
}

Request ReduceScatters::start(const ShareGroup& group, const Tensor& x) {
  if (group.size == 1) return {};
  if (!arrived_) {
    arrived_ = std::make_shared<std::vector<char>>(
        static_cast<std::size_t>(reduce_scatter_memory(group.size)));
  }
  const auto operation = std::make_shared<ReduceScatter>(group, x, last_.lock(), arrived_);
  last_ = operation;
  return Request(std::make_unique<SharedEnd>(operation));
}

Request start_all_gather(const ShareGroup& group, const Tensor& x) {
  auto requests = std::make_unique<MpiRequests>(mpi_type(x.dtype()));
  for (int step = 1; step < group.size; ++step) {
    const int from = (group.rank + group.size - step) % group.size;
    for (const ShardRange& piece : pieces_of(group, x, from)) {
      start_receive(group, element(x, piece.begin), x.dtype(), piece.count, from, *requests);
    }
  }
  const auto own = pieces_of(group, x, group.rank);
  for (int step = 1; step < group.size; ++step) {
    for (const ShardRange& piece : own) {
      requests->add_send(start_send(group, x, piece, (group.rank + step) % group.size));
    }
  }
  return Request(std::move(requests));
}

}  // namespace masformer
