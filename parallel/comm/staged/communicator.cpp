#include "parallel/comm/staged/communicator.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "parallel/comm/device_communicator.h"
#include "parallel/comm/staged/staging.h"
#include "parallel/sharding.h"
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/unwinding.h"

namespace masformer {
namespace {

constexpr std::int64_t piece_bytes = 8 << 20;  // a collective moves this much at a time

// A message under way between host memory and another rank.
class StagedMessage final : public PendingRequest {
 public:
  // `x`: the tensor on the device that receives the message; empty for a send.
  StagedMessage(Staging& staging, Staging::Buffer buffer, Request message, Tensor x)
      : staging_(staging), buffer_(std::move(buffer)), message_(std::move(message)), x_(x) {}
  StagedMessage(const StagedMessage&) = delete;
  StagedMessage& operator=(const StagedMessage&) = delete;
  ~StagedMessage() override {
    if (unwinding_.now()) {
      buffer_.abandon();  // MPI may still access it
      return;
    }
    try {
      wait();
    } catch (const Error&) {  // nobody waits for the result
    }
  }

  void wait() override {
    message_.wait();
    deliver();
  }
  bool done() override {
    if (!message_.done()) return false;
    deliver();
    return true;
  }

 private:
  void deliver() {
    if (const Tensor x = std::exchange(x_, Tensor())) {
      staging_.to_device(buffer_.as(x.shape(), x.dtype()), x);
    }
  }

  Staging& staging_;
  Staging::Buffer buffer_;
  Request message_;  // after buffer_, so that it is destroyed first
  Tensor x_;
  Unwinding unwinding_;
};

class StagedCommunicator final : public DeviceCommunicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> inner, const Stream& stream)
      : DeviceCommunicator(std::move(inner), stream), staging_(stream) {}

  GroupTraits traits() const override { return {.needs_polling = true}; }
  std::int64_t working_memory() const override {
    return DeviceCommunicator::working_memory() + staging_.bytes();
  }

 private:
  Request start_all_reduce(const Tensor& x, Reduction reduction) override;
  Request start_reduce_scatter(const Tensor& x) override;
  Request start_all_gather(const Tensor& x) override;
  Request start_broadcast(const Tensor& x, int root) override;
  Request start_send(const Tensor& x, int to) override;
  Request start_receive(const Tensor& x, int from) override;

  template <class Move>
  void for_each_piece(const Tensor& x, const Move& move);
  template <class Move>
  void for_each_piece_of_shares(const Tensor& x, const Move& move);

  Staging staging_;
};

// Calls move(piece, host) for each piece of x, with host memory of the same shape.
template <class Move>
void StagedCommunicator::for_each_piece(const Tensor& x, const Move& move) {
  const Tensor elements = x.reshape({x.elements()});
  const std::int64_t most = piece_bytes / size_of(x.dtype());
  const Staging::Buffer buffer = staging_.take(piece_bytes);
  for (std::int64_t begin = 0; begin < x.elements(); begin += most) {
    const Tensor piece = elements.slice(0, begin, std::min(most, x.elements() - begin));
    move(piece, buffer.as(piece.shape(), x.dtype()));
  }
}

// Calls move(pieces, host) until all of x has been moved. pieces[r] has the next elements of rank
// r's shard; host [size, elements of the longest piece] has a row for each. The last pieces of
// shorter shards are shorter than their rows, or empty.
template <class Move>
void StagedCommunicator::for_each_piece_of_shares(const Tensor& x, const Move& move) {
  const Tensor elements = x.reshape({x.elements()});
  const std::int64_t columns = x.elements() / x.dim(0);
  const std::int64_t longest = (x.dim(0) + size() - 1) / size() * columns;
  const std::int64_t most = piece_bytes / size_of(x.dtype()) / size();
  const Staging::Buffer buffer = staging_.take(piece_bytes);
  for (std::int64_t begin = 0; begin < longest; begin += most) {
    std::vector<Tensor> pieces;
    for (int rank = 0; rank < size(); ++rank) {
      const ShardRange rows = shard_range(x.dim(0), size(), rank);
      const std::int64_t first = std::min(begin, rows.count * columns);
      const std::int64_t last = std::min(begin + most, rows.count * columns);
      pieces.push_back(elements.slice(0, rows.begin * columns + first, last - first));
    }
    move(pieces, buffer.as({size(), std::min(most, longest - begin)}, x.dtype()));
  }
}

// The part of the rank's row in `host` that its piece fills.
Tensor row_of(const Tensor& host, int rank, const Tensor& piece) {
  return host.slice(0, rank, 1).reshape({host.dim(1)}).slice(0, 0, piece.elements());
}

// Zeroes the part of a row that its piece does not fill, because the whole row is summed.
void clear_rest(const Tensor& host, int rank, const Tensor& piece) {
  const std::int64_t rest = (host.dim(1) - piece.elements()) * size_of(host.dtype());
  auto* const end = static_cast<std::byte*>(host.slice(0, rank, 1).raw()) + piece.bytes();
  std::memset(end, 0, static_cast<std::size_t>(rest));
}

Request StagedCommunicator::start_all_reduce(const Tensor& x, Reduction reduction) {
  for_each_piece(x, [&](const Tensor& piece, const Tensor& host) {
    staging_.to_host(piece, host);
    inner().all_reduce(host, reduction).wait();
    staging_.to_device(host, piece);
  });
  return {};
}

Request StagedCommunicator::start_reduce_scatter(const Tensor& x) {
  for_each_piece_of_shares(x, [&](const std::vector<Tensor>& pieces, const Tensor& host) {
    for (int each = 0; each < size(); ++each) {
      const Tensor& piece = pieces[static_cast<std::size_t>(each)];
      staging_.to_host(piece, row_of(host, each, piece));
    }
    for (int each = 0; each < size(); ++each) {
      clear_rest(host, each, pieces[static_cast<std::size_t>(each)]);
    }
    inner().reduce_scatter(host).wait();
    const Tensor& own = pieces[static_cast<std::size_t>(rank())];
    staging_.to_device(row_of(host, rank(), own), own);
  });
  return {};
}

Request StagedCommunicator::start_all_gather(const Tensor& x) {
  for_each_piece_of_shares(x, [&](const std::vector<Tensor>& pieces, const Tensor& host) {
    const Tensor& own = pieces[static_cast<std::size_t>(rank())];
    staging_.drain();
    staging_.to_host(own, row_of(host, rank(), own));
    inner().all_gather(host).wait();
    for (int each = 0; each < size(); ++each) {
      const Tensor& piece = pieces[static_cast<std::size_t>(each)];
      if (each != rank()) staging_.to_device(row_of(host, each, piece), piece);
    }
  });
  return {};
}

Request StagedCommunicator::start_broadcast(const Tensor& x, int root) {
  for_each_piece(x, [&](const Tensor& piece, const Tensor& host) {
    if (rank() == root) {
      staging_.to_host(piece, host);
    } else {
      staging_.drain();
    }
    inner().broadcast(host, root).wait();
    if (rank() != root) staging_.to_device(host, piece);
  });
  return {};
}

Request StagedCommunicator::start_send(const Tensor& x, int to) {
  Staging::Buffer buffer = staging_.take(staged_message_memory(x.bytes()));
  const Tensor host = buffer.as(x.shape(), x.dtype());
  staging_.to_host(x, host);
  return Request(std::make_unique<StagedMessage>(staging_, std::move(buffer),
                                                 inner().send(host, to), Tensor()));
}

Request StagedCommunicator::start_receive(const Tensor& x, int from) {
  Staging::Buffer buffer = staging_.take(staged_message_memory(x.bytes()));
  staging_.drain();
  Request message = inner().receive(buffer.as(x.shape(), x.dtype()), from);
  return Request(
      std::make_unique<StagedMessage>(staging_, std::move(buffer), std::move(message), x));
}

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> inner,
                                                       const Stream& stream) {
  return std::make_unique<StagedCommunicator>(std::move(inner), stream);
}

std::int64_t staging_memory(int ranks) {
  return ranks == 1 ? 0 : piece_bytes;
}

std::int64_t staged_message_memory(std::int64_t bytes) {
  const auto least = static_cast<std::uint64_t>(std::max(bytes, Arena::alignment));
  return static_cast<std::int64_t>(std::bit_ceil(least));
}

}  // namespace masformer
