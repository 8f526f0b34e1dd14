// Tensors of arbitrary bits, including NaNs with payloads, in pieces: checkpoint tests store them
// and expect them back.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/sharding.h"
#include "runtime/random.h"
#include "runtime/tensor.h"

namespace masformer::test {

using Extents = std::vector<std::int64_t>;

// The bits of `slab` of the tensor `name`. Another `version` has other bits.
inline std::vector<std::uint32_t> synthetic_bits(const std::string& name, const Extents& shape,
                                                 const Hyperslab& slab, int version = 0) {
  const std::uint64_t stream = mix(static_cast<std::uint64_t>(version), name);
  std::vector<std::uint32_t> bits(static_cast<std::size_t>(slab.elements()));
  for (std::size_t i = 0; i < bits.size(); ++i) {
    // From the index in the slab to the index in the tensor.
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t place = 0;
    std::int64_t stride = 1;
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      place += (slab.offset[dim] + rest % slab.shape[dim]) * stride;
      rest /= slab.shape[dim];
      stride *= shape[dim];
    }
    bits[i] = static_cast<std::uint32_t>(mix(stream, static_cast<std::uint64_t>(place)));
  }
  return bits;
}

// Pieces that own their memory.
class SyntheticPieces {
 public:
  explicit SyntheticPieces(int version = 0) : version_(version) {}

  void add(const std::string& name, const Extents& shape, const Hyperslab& slab) {
    memory_.push_back(synthetic_bits(name, shape, slab, version_));
    pieces_.push_back({name, shape, slab,
                       Tensor(memory_.back().data(), Shape(slab.shape), DType::f32, Device::cpu)});
  }
  const std::vector<TensorPiece>& all() const { return pieces_; }

 private:
  int version_;
  std::deque<std::vector<std::uint32_t>> memory_;  // never moves
  std::vector<TensorPiece> pieces_;
};

// Compares bits, not numbers, because NaN differs from itself.
inline std::vector<std::uint32_t> read_bits(CheckpointReader& reader, const std::string& name,
                                            const Hyperslab& slab) {
  std::vector<std::uint32_t> bits(static_cast<std::size_t>(slab.elements()));
  reader.read(name, slab, Tensor(bits.data(), Shape(slab.shape), DType::f32, Device::cpu));
  return bits;
}

}  // namespace masformer::test
