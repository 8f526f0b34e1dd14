// Rotary position embeddings on the CPU. The threads share the tokens. A token's sines and cosines
// are computed once for all of its heads, in double: they take less time than the product that made
// q and k, and are accurate at any position.
#include <cmath>
#include <vector>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/rotary.h"
#include "runtime/ops/rows.h"
#include "runtime/ops/vector_math.h"
#include "runtime/rounding.h"

namespace masformer::cpu {
namespace {

// theta^(-2 i / d) for each pair i; negative if the rotation is the inverse.
std::vector<double> frequencies(const Rotation& rotation) {
  std::vector<double> all(static_cast<std::size_t>(rotation.head_dim / 2));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double exponent = -2.0 * double(i) / double(rotation.head_dim);
    all[i] = std::pow(rotation.theta, exponent) * (rotation.inverse ? -1 : 1);
  }
  return all;
}

// The sines and cosines of one token's angles, [d/2] each.
struct Turns {
  float* cosine;
  float* sine;

  void set(const std::vector<double>& frequency, std::int32_t position) const {
    for (std::size_t i = 0; i < frequency.size(); ++i) {
      const double angle = frequency[i] * position;
      cosine[i] = static_cast<float>(std::cos(angle));
      sine[i] = static_cast<float>(std::sin(angle));
    }
  }
};

// Rotates the head whose first half is `a` and whose second half is `b`.
template <class T>
void rotate(const Turns& turns, std::int64_t pairs, T* a, T* b) {
  std::int64_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    const Vec cosine = load(turns.cosine + i), sine = load(turns.sine + i);
    const Vec x = load(a + i), y = load(b + i);
    store(a + i, x * cosine - y * sine);
    store(b + i, y * cosine + x * sine);
  }
  const int rest = static_cast<int>(pairs - i);
  if (rest == 0) return;
  const Vec cosine = load_part(turns.cosine + i, rest), sine = load_part(turns.sine + i, rest);
  const Vec x = load_part(a + i, rest), y = load_part(b + i, rest);
  store_part(a + i, x * cosine - y * sine, rest);
  store_part(b + i, y * cosine + x * sine, rest);
}

}  // namespace

void rotary(const Stream& stream, Tensor x, Tensor positions, const Rotation& rotation) {
  const std::vector<double> frequency = frequencies(rotation);
  const auto pairs = static_cast<std::int64_t>(frequency.size());
  const std::int64_t room = round_up(2 * pairs, line_elements);  // of each thread
  std::vector<float> turns_of_threads(static_cast<std::size_t>(stream.threads() * room));
  with_float_type(x.dtype(), [&]<class T>(T) {
    const auto rows = rows_of<T>(x);
    for_each_part(stream, x.dim(0), 1, [&](Part tokens, int part) {
      float* const own = turns_of_threads.data() + part * room;
      const Turns turns{own, own + pairs};
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
