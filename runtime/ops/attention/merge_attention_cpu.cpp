// The merge of two partial attentions on the CPU. Memory limits it: queries are taken in the order
// of `out`, and the weights of a vector of heads are computed at once.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/attention/merge_attention.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

using std::int64_t;

constexpr float infinity = std::numeric_limits<float>::infinity();

// What a vector of heads multiplies its two sides with.
struct Weights {
  float own[lanes];
  float other[lanes];
};

// A query of one sample.
struct Query {
  int64_t batch, index;

  float& lse(const Tensor& x, int64_t head) const {
    return x.data<float>()[batch * x.stride(0) + head * x.stride(1) + index];
  }
  template <class T>
  T* row(const Tensor& x, int64_t head) const {
    return x.data<T>() + batch * x.stride(0) + index * x.stride(1) + head * x.stride(2);
  }
};

// Merges the lse of heads [first, first + count), count <= lanes. Heads past them are unseen.
Weights merge_lse(const AttentionMerge& args, const Query& query, int64_t first, int64_t count) {
  Weights weights;
  std::fill_n(weights.own, lanes, -infinity);
  std::fill_n(weights.other, lanes, -infinity);
  for (int64_t i = 0; i < count; ++i) {
    weights.own[i] = query.lse(args.lse, first + i);
    weights.other[i] = query.lse(args.other_lse, first + i);
  }
  const Vec max = larger(load(weights.own), load(weights.other));
  // If neither side saw a key, any finite base makes both weights 0.
  const Vec base = max == -infinity ? Vec{} : max;
  const Vec own = exp(load(weights.own) - base), other = exp(load(weights.other) - base);
  const Vec sum = own + other;
  const Vec factor = sum == 0 ? Vec{} : 1 / sum;
  store(weights.own, own * factor);
  store(weights.other, other * factor);
  for (int64_t i = 0; i < count; ++i) query.lse(args.lse, first + i) = base[i] + std::log(sum[i]);
  return weights;
}

// weight x, and 0 for a weight of 0, whatever x is.
Vec weighted(Vec weight, Vec x) {
  return weight == 0 ? Vec{} : weight * x;
}

template <class Out, class Other>
void merge_query(const AttentionMerge& args, const Query& query) {
  const int64_t heads = args.out.dim(2), dim = args.out.dim(3);
  for (int64_t first = 0; first < heads; first += lanes) {
    const int64_t count = std::min<int64_t>(lanes, heads - first);
    const Weights weights = merge_lse(args, query, first, count);
    for (int64_t i = 0; i < count; ++i) {
      const Vec own = splat(weights.own[i]), other = splat(weights.other[i]);
      Out* const out = query.row<Out>(args.out, first + i);
      map_vectors(
          {0, dim}, [=](Vec x, Vec y) { return weighted(own, x) + weighted(other, y); }, out, out,
          query.row<Other>(args.other_out, first + i));
    }
  }
}

}  // namespace

void merge_attention(const Stream& stream, const AttentionMerge& args) {
  const int64_t queries = args.out.dim(1);
  with_float_type(args.out.dtype(), [&]<class Out>(Out) {
    with_float_type(args.other_out.dtype(), [&]<class Other>(Other) {
      for_each_part(stream, args.out.dim(0) * queries, 1, [&](Part part, int) {
        for (int64_t row = part.begin; row < part.end; ++row) {
          merge_query<Out, Other>(args, {row / queries, row % queries});
        }
      });
    });
  });
}

}  // namespace masformer::cpu
