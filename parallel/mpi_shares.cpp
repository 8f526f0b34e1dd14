#include "parallel/mpi_shares.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "parallel/mpi_request.h"
#include "parallel/mpi_support.h"
#include "runtime/error.h"

namespace masformer {
namespace {

constexpr std::int64_t piece_bytes = 1 << 20;

char* at(const Tensor& x, std::int64_t element) {
  return static_cast<char*>(x.raw()) + element * size_of(x.dtype());
}

MPI_Request start_send(const ShareGroup& group, const Tensor& x, Part elements, int to) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(at(x, elements.begin), static_cast<int>(elements.count), mpi_type(x.dtype()),
                      to, group.tag, group.comm, &request),
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

template <class T>
void add(const void* from, std::int64_t count, void* to) {
  const auto* const x = static_cast<const T*>(from);
  auto* const y = static_cast<T*>(to);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] += x[i];
}

void add(DType dtype, const void* from, std::int64_t count, void* to) {
  switch (dtype) {
    case DType::f32:
      return add<float>(from, count, to);
    case DType::f64:
      return add<double>(from, count, to);
    case DType::i32:
      return add<std::int32_t>(from, count, to);
  }
}

// The pieces that a part of a tensor goes in, as both ends cut it.
std::vector<Part> pieces_of(const Tensor& x, Part rows) {
  const std::int64_t columns = x.dim(0) > 0 ? x.elements() / x.dim(0) : 0;
  const std::int64_t most = piece_bytes / size_of(x.dtype());
  std::vector<Part> pieces;
  const std::int64_t end = (rows.begin + rows.count) * columns;
  for (std::int64_t begin = rows.begin * columns; begin < end; begin += most) {
    pieces.push_back({begin, std::min(most, end - begin)});
  }
  return pieces;
}

// Sends every rank its rows at once, and takes in its own piece by piece from all others.
class ReduceScatter final : public PendingOperation {
 public:
  ReduceScatter(const ShareGroup& group, const Tensor& x)
      : group_(group),
        x_(x),
        sends_(mpi_type(x.dtype())),
        own_(pieces_of(x, share(x.dim(0), group.size, group.rank))) {
    for (int step = 1; step < group_.size; ++step) {
      const int to = (group_.rank + step) % group_.size;
      for (const Part& piece : pieces_of(x_, share(x_.dim(0), group_.size, to))) {
        sends_.add_send(start_send(group_, x_, piece, to));
      }
    }
    if (own_.empty()) return;
    arrived_.resize(static_cast<std::size_t>(group_.size * slot_bytes()));
    receive_piece();
  }

  void wait() override {
    while (piece_ < own_.size()) {
      receives_->wait();
      add_piece();
    }
    sends_.wait();
  }

  bool done() override {
    while (piece_ < own_.size()) {
      if (!receives_->done()) return false;
      add_piece();
    }
    return sends_.done();
  }

 private:
  std::int64_t slot_bytes() const { return own_[0].count * size_of(x_.dtype()); }
  // Where the piece of rank `from` arrives; the own one is put there before the sum.
  char* slot(int from) { return arrived_.data() + from * slot_bytes(); }

  void receive_piece() {
    receives_ = std::make_unique<MpiRequests>(mpi_type(x_.dtype()));
    for (int from = 0; from < group_.size; ++from) {
      if (from == group_.rank) continue;
      start_receive(group_, slot(from), x_.dtype(), own_[piece_].count, from, *receives_);
    }
  }

  void add_piece() {
    const Part piece = own_[piece_];
    const auto bytes = static_cast<std::size_t>(piece.count * size_of(x_.dtype()));
    char* const sum = at(x_, piece.begin);
    std::memcpy(slot(group_.rank), sum, bytes);
    std::memcpy(sum, slot(0), bytes);
    for (int from = 1; from < group_.size; ++from) add(x_.dtype(), slot(from), piece.count, sum);
    if (++piece_ < own_.size()) receive_piece();
  }

  ShareGroup group_;
  Tensor x_;
  MpiRequests sends_;
  std::vector<Part> own_;
  std::size_t piece_ = 0;  // of own_, the one that is on its way
  std::vector<char> arrived_;
  std::unique_ptr<MpiRequests> receives_;  // before arrived_ in destruction: they write there
};

}  // namespace

Event start_reduce_scatter(const ShareGroup& group, const Tensor& x) {
  if (group.size == 1) return {};
  return Event(std::make_unique<ReduceScatter>(group, x));
}

Event start_all_gather(const ShareGroup& group, const Tensor& x) {
  auto requests = std::make_unique<MpiRequests>(mpi_type(x.dtype()));
  for (int step = 1; step < group.size; ++step) {
    const int from = (group.rank + group.size - step) % group.size;
    for (const Part& piece : pieces_of(x, share(x.dim(0), group.size, from))) {
      start_receive(group, at(x, piece.begin), x.dtype(), piece.count, from, *requests);
    }
  }
  const auto own = pieces_of(x, share(x.dim(0), group.size, group.rank));
  for (int step = 1; step < group.size; ++step) {
    for (const Part& piece : own) {
      requests->add_send(start_send(group, x, piece, (group.rank + step) % group.size));
    }
  }
  return Event(std::move(requests));
}

}  // namespace masformer
