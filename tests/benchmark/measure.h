// Functions that the benchmarks share: tensors of numbers, times, and attention as the model calls
// it.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/ops/attention/attention.h"
#include "tests/support/tensors.h"

namespace masformer::test {

// The seconds of one run.
template <class Work>
double seconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The seconds of the fastest of at least `runs` runs that take at least `seconds` together. The
// fastest is least affected by other programs.
template <class Work>
double fastest(int runs, double seconds, const Work& work) {
  double best = std::numeric_limits<double>::infinity(), passed = 0;
  for (int run = 0; run < runs || passed < seconds; ++run) {
    const double time = seconds_of(work);
    best = std::min(best, time);
    passed += time;
  }
  return best;
}

// A tensor of a few thousand normals, repeated: drawing millions would take longer than measuring.
inline OwnedTensor numbers(const Shape& shape, DType dtype = DType::f32, double deviation = 1) {
  static const Numbers drawn = values(normals({4099}, 1));
  OwnedTensor tensor(shape, dtype);
  HostCopy on_host(tensor);
  const auto fill = [&]<class T>(T* data) {
    for (std::int64_t i = 0; i < tensor->elements(); ++i) {
      data[i] = T(static_cast<float>(deviation * drawn[static_cast<std::size_t>(i % 4099)]));
    }
  };
  if (dtype == DType::bf16) {
    fill(static_cast<bfloat16*>(on_host.raw()));
  } else {
    fill(static_cast<float*>(on_host.raw()));
  }
  return tensor;
}

// Self-attention of one sequence. q, k and v are columns of one product, as in the model.
class AttentionRun {
 public:
  AttentionRun(std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, DType dtype,
               const Span& span)
      : shape_{1, tokens, heads, head_dim},
        qkv_(numbers({tokens, 3 * heads * head_dim}, dtype)),
        dout_(numbers(shape_, dtype)),
        out_(shape_, dtype),
        dqkv_({tokens, 3 * heads * head_dim}, dtype),
        dq_sum_(shape_),
        lse_({1, heads, tokens}),
        delta_({1, heads, tokens}),
        forward_{.q = third(qkv_, 0),
                 .k = third(qkv_, 1),
                 .v = third(qkv_, 2),
                 .mask = {.span = span},
                 .scale = 0.125f,
                 .out = out_,
                 .lse = lse_},
        backward_{.q = forward_.q,
                  .k = forward_.k,
                  .v = forward_.v,
                  .mask = forward_.mask,
                  .scale = forward_.scale,
                  .out = out_,
                  .lse = lse_,
                  .dout = dout_,
                  .delta = delta_,
                  .dq = third(dqkv_, 0),
                  .dk = third(dqkv_, 1),
                  .dv = third(dqkv_, 2),
                  .dq_sum = dq_sum_} {}

  void forward(const Stream& stream) const { attention(stream, forward_); }
  void backward(const Stream& stream) const { attention_backward(stream, backward_); }

  // The memory of all its tensors.
  std::int64_t bytes() const {
    return 2 * (qkv_->bytes() + dout_->bytes()) + dq_sum_->bytes() + 2 * lse_->bytes();
  }

 private:
  Tensor third(const Tensor& wide, std::int64_t i) const {
    const std::int64_t width = wide.dim(1) / 3;
    return wide.slice(1, i * width, width).reshape(shape_);
  }

  Shape shape_;
  OwnedTensor qkv_, dout_, out_, dqkv_, dq_sum_, lse_, delta_;
  AttentionForward forward_;
  AttentionBackward backward_;
};

}  // namespace masformer::test
