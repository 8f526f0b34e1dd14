// A case of attention for tests: its operands, and a plain implementation in double that looks at
// every pair of a query and a key.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/ops/attention/attention.h"
#include "tests/support/tensors.h"

namespace masformer::test {

enum class Layout { contiguous, gaps, fused };

// For each entry of the batch, the lengths of the documents from position 0 on; one more document
// holds all positions after them. Empty: a call without documents.
using Documents = std::vector<std::vector<std::int64_t>>;

struct Case {
  std::string span;
  std::int64_t batch, queries, keys, heads, kv_heads, dim;
  std::int64_t query_offset, key_offset;
  Layout layout;
  float scale;
  Documents documents = {};
  DType dtype = DType::f32;                                               // of q, k, v, out
  std::array<DType, 3> gradients = {DType::f32, DType::f32, DType::f32};  // of dq, dk, dv

  Shape query_shape() const { return {batch, queries, heads, dim}; }
  Shape key_shape() const { return {batch, keys, kv_heads, dim}; }
  // The position of the first token of the document at `position`.
  std::int64_t first_key(std::int64_t entry, std::int64_t position) const {
    std::int64_t first = 0;
    if (documents.empty()) return first;
    for (const std::int64_t length : documents[static_cast<std::size_t>(entry)]) {
      if (first + length > position) break;
      first += length;
    }
    return first;
  }
  bool sees(std::int64_t entry, std::int64_t query, std::int64_t key) const {
    const std::int64_t i = query_offset + query, j = key_offset + key;
    return std::max(first_visible(parse_span(span), i), first_key(entry, i)) <= j && j <= i;
  }
};

inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  out << c.span << " B" << c.batch << " S" << c.queries << '+' << c.query_offset << " K" << c.keys
      << '+' << c.key_offset << " N" << c.heads << '/' << c.kv_heads << " D" << c.dim << " layout "
      << static_cast<int>(c.layout) << ' ' << name_of(c.dtype) << ", gradients";
  for (const DType dtype : c.gradients) out << ' ' << name_of(dtype);
  for (const auto& lengths : c.documents) {
    out << ", documents";
    for (const std::int64_t length : lengths) out << ' ' << length;
  }
  return out;
}

// Memory that is filled with NaN, and a tensor [B, tokens, heads, D] in a part of it, by `layout`,
// which is not Layout::fused.
struct Field {
  Field(Layout layout, const Shape& shape, DType dtype)
      : memory(poisoned(layout == Layout::contiguous ? shape : widened(shape), dtype)),
        part(memory) {
    if (layout == Layout::contiguous) return;
    part = part.slice(1, 1, shape[1]).slice(2, 1, shape[2]).slice(3, 2, shape[3]);
  }
  static Shape widened(const Shape& shape) {
    return {shape[0], shape[1] + 2, shape[2] + 1, shape[3] + 3};
  }

  OwnedTensor memory;
  Tensor part;
};

// Three tensors like q, k, v, with their memory. Layout::fused requires one dtype.
struct Three {
  Three(const Case& c, const std::array<DType, 3>& dtypes) {
    if (c.layout == Layout::fused) {
      const std::int64_t q_width = c.heads * c.dim, k_width = c.kv_heads * c.dim;
      const Tensor rows = keep(poisoned({c.batch * c.queries, q_width + 2 * k_width}, dtypes[0]));
      q = rows.slice(1, 0, q_width).reshape(c.query_shape());
      k = rows.slice(1, q_width, k_width).reshape(c.key_shape());
      v = rows.slice(1, q_width + k_width, k_width).reshape(c.key_shape());
    } else {
      q = keep(Field(c.layout, c.query_shape(), dtypes[0]));
      k = keep(Field(c.layout, c.key_shape(), dtypes[1]));
      v = keep(Field(c.layout, c.key_shape(), dtypes[2]));
    }
  }

  Tensor keep(OwnedTensor tensor) {
    memory.push_back(std::move(tensor));
    return memory.back();
  }
  Tensor keep(Field field) {
    keep(std::move(field.memory));
    return field.part;
  }

  std::vector<OwnedTensor> memory;
  Tensor q, k, v;
};

struct Reference {
  Numbers out, lse, dq, dk, dv;
  double loss = 0;  // sum of out dout
};

// What the definition is computed from. The backward takes the stored `out`, which may be rounded.
struct ReferenceInput {
  Numbers q, k, v, dout;
  std::optional<Numbers> out;  // empty: the exact one
};

// Forward and backward of one query.
inline void reference_row(const Case& c, const ReferenceInput& in,
                          const std::array<std::int64_t, 3>& row, Reference& result) {
  const std::int64_t b = row[0], n = row[1], i = row[2];
  const std::int64_t m = n * c.kv_heads / c.heads;
  const auto of_query = [&](std::int64_t d) {
    return static_cast<std::size_t>(((b * c.queries + i) * c.heads + n) * c.dim + d);
  };
  const auto of_key = [&](std::int64_t j, std::int64_t d) {
    return static_cast<std::size_t>(((b * c.keys + j) * c.kv_heads + m) * c.dim + d);
  };
  std::vector<std::int64_t> seen;
  Numbers weight;
  double sum = 0;
  for (std::int64_t j = 0; j < c.keys; ++j) {
    if (!c.sees(b, i, j)) continue;
    double score = 0;
    for (std::int64_t d = 0; d < c.dim; ++d) score += in.q[of_query(d)] * in.k[of_key(j, d)];
    seen.push_back(j);
    weight.push_back(std::exp(static_cast<double>(c.scale) * score));
    sum += weight.back();
  }
  result.lse.push_back(seen.empty() ? -std::numeric_limits<double>::infinity() : std::log(sum));
  for (std::size_t s = 0; s < seen.size(); ++s) {
    weight[s] /= sum;
    for (std::int64_t d = 0; d < c.dim; ++d) {
      result.out[of_query(d)] += weight[s] * in.v[of_key(seen[s], d)];
      result.dv[of_key(seen[s], d)] += weight[s] * in.dout[of_query(d)];
    }
  }
  const Numbers& out = in.out ? *in.out : result.out;
  double delta = 0;
  for (std::int64_t d = 0; d < c.dim; ++d) {
    delta += out[of_query(d)] * in.dout[of_query(d)];
    result.loss += result.out[of_query(d)] * in.dout[of_query(d)];
  }
  for (std::size_t s = 0; s < seen.size(); ++s) {
    double dp = 0;
    for (std::int64_t d = 0; d < c.dim; ++d) dp += in.dout[of_query(d)] * in.v[of_key(seen[s], d)];
    const double ds = static_cast<double>(c.scale) * weight[s] * (dp - delta);
    for (std::int64_t d = 0; d < c.dim; ++d) {
      result.dq[of_query(d)] += ds * in.k[of_key(seen[s], d)];
      result.dk[of_key(seen[s], d)] += ds * in.q[of_query(d)];
    }
  }
}

inline Reference reference(const Case& c, const ReferenceInput& in) {
  Reference result;
  result.out.resize(in.q.size());
  result.dq.resize(in.q.size());
  result.dk.resize(in.k.size());
  result.dv.resize(in.v.size());
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t n = 0; n < c.heads; ++n) {
      for (std::int64_t i = 0; i < c.queries; ++i) reference_row(c, in, {b, n, i}, result);
    }
  }
  return result;
}

// All operands of a forward and a backward, with what they produced.
struct Call {
  explicit Call(const Case& c)
      : input(c, {c.dtype, c.dtype, c.dtype}),
        gradient(c, c.gradients),
        out_field(layout_of_queries(c), c.query_shape(), c.dtype),
        dout_field(layout_of_queries(c), c.query_shape(), c.dtype),
        lse_memory(poisoned({c.batch, c.heads, c.queries})),
        delta_memory(poisoned({c.batch, c.heads, c.queries})),
        out(out_field.part),
        dout(dout_field.part),
        lse(lse_memory) {
    set_normals(input.q, 1);
    set_normals(input.k, 2);
    set_normals(input.v, 3);
    set_normals(dout, 4);
    if (gradient.q.dtype() != DType::f32) dq_sum = poisoned(c.query_shape());
    if (!c.documents.empty()) {
      first_keys = integers(c.batch * c.queries, [&](std::int64_t i) {
        return c.first_key(i / c.queries, c.query_offset + i % c.queries);
      });
    }
  }
  static Layout layout_of_queries(const Case& c) {
    return c.layout == Layout::fused ? Layout::contiguous : c.layout;
  }

  AttentionMask mask(const Case& c) const {
    AttentionMask mask{parse_span(c.span), c.query_offset, c.key_offset};
    if (first_keys) mask.first_keys = Tensor(*first_keys).reshape({c.batch, c.queries});
    return mask;
  }
  void forward(const Case& c, const Stream& stream) {
    attention(stream, {input.q, input.k, input.v, mask(c), c.scale, out, lse});
  }
  void forward(const Case& c, int threads = 2) { forward(c, Stream(device(), threads)); }
  void backward(const Case& c, const Stream& stream) {
    attention_backward(stream,
                       {input.q, input.k, input.v, mask(c), c.scale, out, lse, dout, delta_memory,
                        gradient.q, gradient.k, gradient.v, dq_sum ? Tensor(*dq_sum) : Tensor()});
  }
  void backward(const Case& c, int threads = 2) { backward(c, Stream(device(), threads)); }

  // The definition's results for these operands; its gradients are those of the stored `out`.
  Reference expected(const Case& c) const {
    return reference(
        c, {values(input.q), values(input.k), values(input.v), values(dout), values(out)});
  }
  // The bits of all results.
  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all;
    for (const Tensor& x : {out, lse, gradient.q, gradient.k, gradient.v}) {
      for (const double value : values(x)) {
        all.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
      }
    }
    return all;
  }

  Three input, gradient;
  Field out_field, dout_field;
  OwnedTensor lse_memory, delta_memory;
  std::optional<OwnedTensor> dq_sum, first_keys;
  Tensor out, dout, lse;
};

inline double norm(const Numbers& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

// The norm of the difference over the norm, or over `least` if that is larger: a gradient that
// cancels to nothing has no digits of its own.
inline double error(const Numbers& got, const Numbers& want, double least = 1e-30) {
  EXPECT_EQ(got.size(), want.size());
  Numbers difference(want.size());
  for (std::size_t i = 0; i < want.size(); ++i) difference[i] = got[i] - want[i];
  return norm(difference) / std::max(norm(want), least);
}

// How far results in `dtype` may be from exact ones: rounding to bf16 changes a number by up to
// 2^-8 of it.
inline double tolerance(DType dtype) {
  return dtype == DType::f32 ? 1e-6 : std::exp2(-8);
}

// Compares out and lse.
inline void expect_forward(const Call& call, const Reference& want) {
  EXPECT_LT(error(values(call.out), want.out), tolerance(call.out.dtype()));
  const Numbers lse = values(call.lse);
  for (std::size_t i = 0; i < want.lse.size(); ++i) {
    if (std::isinf(want.lse[i])) {
      EXPECT_EQ(lse[i], want.lse[i]);
    } else {
      EXPECT_NEAR(lse[i], want.lse[i], 2e-6 * std::max(1.0, std::abs(want.lse[i])));
    }
  }
}

inline void expect_gradients(const Case& c, const Call& call, const Reference& want) {
  const double least = static_cast<double>(c.scale) * norm(values(call.dout));
  const auto expect = [&](const Tensor& got, const Numbers& exact, const char* name) {
    EXPECT_LT(error(values(got), exact, least), tolerance(got.dtype())) << name;
  };
  expect(call.gradient.q, want.dq, "dq");
  expect(call.gradient.k, want.dk, "dk");
  expect(call.gradient.v, want.dv, "dv");
}

}  // namespace masformer::test
