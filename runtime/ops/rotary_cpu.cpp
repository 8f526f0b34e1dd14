// Rotary position embeddings on the CPU. The threads share the tokens. A token's sines and cosines
// are computed once for all of its heads: the angle in double, reduced to a part of a quarter turn,
// then both functions in fp32, a vector at a time. With 256 features that takes 3% of the time of
// the product that makes q, k and v; sin() and cos() of the C library took 14%.
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/rotary.h"
#include "runtime/ops/rows.h"
#include "runtime/ops/vector_math.h"
#include "runtime/rounding.h"

namespace masformer::cpu {
namespace {

// What the threads share: for each pair i, theta^(-2 i / d) in quarter turns per position; negative
// if the rotation is the inverse.
std::vector<double> frequencies(const Rotation& rotation) {
  std::vector<double> all(static_cast<std::size_t>(rotation.head_dim / 2));
  const double unit = (rotation.inverse ? -2 : 2) / std::numbers::pi;
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = unit * std::pow(rotation.theta, -2.0 * double(i) / double(rotation.head_dim));
  }
  return all;
}

// The sines and cosines of one token's angles: d/2 each, rounded up to whole vectors.
class Turns {
 public:
  explicit Turns(std::size_t pairs)
      : cosine_(round_up(static_cast<std::int64_t>(pairs), lanes)),
        sine_(cosine_.size()),
        quadrant_(cosine_.size()) {}

  const float* cosine() const { return cosine_.data(); }
  const float* sine() const { return sine_.data(); }

  void set(const std::vector<double>& frequency, std::int32_t position) {
    float* const rest = sine_.data();  // until the sines replace them
#pragma omp simd
    for (std::size_t i = 0; i < frequency.size(); ++i) {
      const double turns = frequency[i] * position, whole = std::rint(turns);
      rest[i] = static_cast<float>(turns - whole);
      quadrant_[i] = static_cast<std::int32_t>(whole - 4 * std::floor(whole / 4));
    }
    for (std::size_t i = 0; i < cosine_.size(); i += lanes) {
      IntVec quadrant;
      std::memcpy(&quadrant, quadrant_.data() + i, sizeof quadrant);
      const auto [sine, cosine] = sine_cosine(load(rest + i), quadrant);
      store(sine_.data() + i, sine);
      store(cosine_.data() + i, cosine);
    }
  }

 private:
  std::vector<float> cosine_, sine_;
  std::vector<std::int32_t> quadrant_;  // of a turn, 0 to 3
};

// Rotates the head whose first half is `a` and whose second half is `b`.
template <class T>
void rotate(const Turns& turns, std::int64_t pairs, T* a, T* b) {
  std::int64_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    const Vec cosine = load(turns.cosine() + i), sine = load(turns.sine() + i);
    const Vec x = load(a + i), y = load(b + i);
    store(a + i, x * cosine - y * sine);
    store(b + i, y * cosine + x * sine);
  }
  const int rest = static_cast<int>(pairs - i);
  if (rest == 0) return;
  const Vec cosine = load(turns.cosine() + i), sine = load(turns.sine() + i);
  const Vec x = load_part(a + i, rest), y = load_part(b + i, rest);
  store_part(a + i, x * cosine - y * sine, rest);
  store_part(b + i, y * cosine + x * sine, rest);
}

}  // namespace

void rotary(const Stream& stream, Tensor x, Tensor positions, const Rotation& rotation) {
  const std::vector<double> frequency = frequencies(rotation);
  const auto pairs = static_cast<std::int64_t>(frequency.size());
  std::vector<Turns> turns_of_threads(static_cast<std::size_t>(stream.threads()),
                                      Turns(frequency.size()));
  with_float_type(x.dtype(), [&]<class T>(T) {
    const auto rows = rows_of<T>(x);
    for_each_part(stream, x.dim(0), 1, [&](Part tokens, int part) {
      Turns& turns = turns_of_threads[static_cast<std::size_t>(part)];
      for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
        turns.set(frequency, positions.data<std::int32_t>()[t]);
        for (T* head = rows[t]; head < rows[t] + x.dim(1); head += 2 * pairs) {
          rotate(turns, pairs, head, head + pairs);
        }
      }
    });
  });
}

}  // namespace masformer::cpu
