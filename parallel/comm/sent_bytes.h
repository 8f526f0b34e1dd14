// Bytes that a rank handed to the transport, by operation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "runtime/tensor.h"

namespace masformer {

enum class Operation { all_reduce, reduce_scatter, all_gather, broadcast, send };

inline constexpr std::array operation_names{"all_reduce", "reduce_scatter", "all_gather",
                                            "broadcast", "send"};  // as in docs/metrics.md

// The bytes that rank `rank` of `ranks` counts for an operation on `x`, by the rules of
// Communicator::sent_bytes(). For a broadcast, those that its root counts.
std::int64_t counted_bytes(Operation kind, const Tensor& x, int rank, int ranks);

class SentBytes {
 public:
  std::int64_t& operator[](Operation kind) { return bytes_[static_cast<std::size_t>(kind)]; }
  std::int64_t operator[](Operation kind) const { return bytes_[static_cast<std::size_t>(kind)]; }
  std::int64_t total() const { return std::accumulate(bytes_.begin(), bytes_.end(), 0L); }
  bool operator==(const SentBytes&) const = default;

  SentBytes& operator+=(const SentBytes& other) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] += other.bytes_[i];
    return *this;
  }
  SentBytes& operator-=(const SentBytes& other) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] -= other.bytes_[i];
    return *this;
  }
  friend SentBytes operator+(SentBytes a, const SentBytes& b) { return a += b; }
  friend SentBytes operator-(SentBytes a, const SentBytes& b) { return a -= b; }

 private:
  std::array<std::int64_t, operation_names.size()> bytes_{};
};

}  // namespace masformer
