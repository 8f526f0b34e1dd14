// Rotary position embeddings on a CUDA device. Memory limits them. A block takes a few tokens and
// computes their sines and cosines once, in shared memory, for all heads; then a thread moves 16
// bytes of each half of a head at once where the rows allow it. Only the reduction of an angle to
// one turn is in double: few operations, also on devices that are slow in double.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/rotary.h"
#include "runtime/ops/rows.h"

namespace masformer::cuda {
namespace {

constexpr int rotary_threads = 256;
constexpr int tokens_at_once = 8;
constexpr int pairs_at_once = 64;  // divides `rotary_threads`

struct RotatedHeads {
  int count, pairs;  // pairs: half the head dim
};

// The sines and cosines of a block.
struct Turns {
  float cosine[tokens_at_once][pairs_at_once];
  float sine[tokens_at_once][pairs_at_once];

  // Of `tokens` positions and of `pairs` pairs from `first_pair` on. A thread has one pair, whose
  // frequency, in half turns per position, it computes once.
  __device__ void set(const std::int32_t* positions, int tokens, int first_pair, int pairs,
                      const Rotation& rotation) {
    constexpr double pi = 3.14159265358979323846;
    const int pair = static_cast<int>(threadIdx.x) % pairs_at_once;
    if (pair >= pairs) return;
    const double exponent = -2.0 * (first_pair + pair) / static_cast<double>(rotation.head_dim);
    const double frequency = pow(rotation.theta, exponent) / pi;
    for (int token = static_cast<int>(threadIdx.x) / pairs_at_once; token < tokens;
         token += rotary_threads / pairs_at_once) {
      const double half_turns = frequency * positions[token];
      const auto reduced = static_cast<float>(half_turns - 2 * rint(half_turns / 2));
      sincospif(rotation.inverse ? -reduced : reduced, &sine[token][pair], &cosine[token][pair]);
    }
  }
};

template <int n, class T>
__global__ void rotate(Rows<T> x, std::int64_t tokens, const std::int32_t* positions,
                       RotatedHeads heads, Rotation rotation) {
  __shared__ Turns turns;
  const std::int64_t first_token = std::int64_t{blockIdx.x} * tokens_at_once;
  const int first_pair = static_cast<int>(blockIdx.y) * pairs_at_once;
  const int own_tokens = static_cast<int>(min(tokens - first_token, std::int64_t{tokens_at_once}));
  const int own_pairs = min(heads.pairs - first_pair, pairs_at_once);
  turns.set(positions + first_token, own_tokens, first_pair, own_pairs, rotation);
  __syncthreads();
  const int packs = own_pairs / n;
  for (int i = static_cast<int>(threadIdx.x); i < own_tokens * heads.count * packs;
       i += rotary_threads) {
    const int pair = i % packs * n, head = i / packs % heads.count, token = i / packs / heads.count;
    T* const first =
        x[first_token + token] + std::int64_t{2} * head * heads.pairs + first_pair + pair;
    T* const second = first + heads.pairs;
    float a[n], b[n];
    load(first, a);
    load(second, b);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      const float cosine = turns.cosine[token][pair + j], sine = turns.sine[token][pair + j];
      const float before = a[j];
      a[j] = before * cosine - b[j] * sine;
      b[j] = b[j] * cosine + before * sine;
    }
    store(a, first);
    store(b, second);
  }
}

}  // namespace

void rotary(const Stream& stream, Tensor x, Tensor positions, const Rotation& rotation) {
  const RotatedHeads heads{static_cast<int>(x.dim(1) / rotation.head_dim),
                           static_cast<int>(rotation.head_dim / 2)};
  with_float_type(x.dtype(), [&]<class T>(T) {
    const bool halves_pack = heads.pairs % pack_size<T> == 0 && x.rows_aligned(pack_bytes);
    with_pack<T>(halves_pack, [&](auto n) {
      launch(stream, rotate<n.value, T>,
             {ceil_div(x.dim(0), tokens_at_once), ceil_div(heads.pairs, pairs_at_once)},
             rotary_threads, rows_of<T>(x), x.dim(0), positions.data<std::int32_t>(), heads,
             rotation);
    });
  });
}

}  // namespace masformer::cuda
