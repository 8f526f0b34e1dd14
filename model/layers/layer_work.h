// What one pass of a layer computes and moves on this rank for a micro-batch, as numbers: what its
// time is estimated from (model/cost/).
#pragma once

#include <cstdint>
#include <vector>

namespace masformer {

// `count` times [rows, inner] x [inner, columns].
struct MatrixProduct {
  double rows = 0, inner = 0, columns = 0;
  double count = 1;

  double flops() const { return 2 * rows * inner * columns * count; }
};

// `count` sums of a tensor of so many bytes over the tensor ranks, each an all-reduce.
struct TensorSum {
  std::int64_t bytes = 0, count = 0;
};

struct PassWork {
  std::vector<MatrixProduct> products{};
  // Calls of the layer's attention over the whole micro-batch, in this direction. LayerFlops says
  // which pairs they compute.
  int attention_forwards = 0, attention_backwards = 0;
  // Bytes that all other ops read and write.
  double streamed_bytes = 0;
  // Reduce-scatters and all-gathers of [T, H] over the tensor ranks. An all-reduce counts twice.
  int exchanges = 0;
  // All-reduces of other tensors over the tensor ranks: a few numbers per token.
  std::vector<TensorSum> sums{};

  double product_flops() const {
    double sum = 0;
    for (const MatrixProduct& product : products) sum += product.flops();
    return sum;
  }
};

// How often a sum over the tensor ranks counts: if tokens are split, it is a reduce-scatter.
constexpr int exchanges_of_sum(int ranks, bool tokens_are_split) {
  if (ranks == 1) return 0;
  return tokens_are_split ? 1 : 2;
}

}  // namespace masformer
