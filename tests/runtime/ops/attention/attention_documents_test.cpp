// Attention over documents that are packed into one sequence.
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/attention/attention.h"
#include "tests/runtime/ops/attention/attention_case.h"
#include "tests/support/spans.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

// Short documents before a long one, and documents of about a tile of the kernels; the last one of
// each entry takes the rest of the sequence.
const Documents documents = {{7, 5, 1}, {1, 1, 62, 33, 70, 1, 9}};

class AttentionDocumentsTest : public testing::TestWithParam<Case> {};

TEST_P(AttentionDocumentsTest, MatchesTheDefinition) {
  const Case& c = GetParam();
  Call call(c);
  call.forward(c);
  call.backward(c);
  const Reference want = call.expected(c);
  expect_forward(call, want);
  expect_gradients(c, call, want);
}

// How many queries and keys a call has, and their first positions.
struct Ranges {
  int64_t queries, keys, query_offset, key_offset;
};

std::vector<Case> document_cases() {
  std::vector<Case> cases;
  for (const Span& span : example_spans({1, 40})) {
    for (const Ranges& r : {
             Ranges{200, 200, 0, 0},  // the whole sequence
             Ranges{97, 60, 64, 5},   // keys before the queries; some documents lie between
             Ranges{90, 50, 60, 80},  // keys in the middle of the queries
             Ranges{70, 55, 1, 100},  // no query sees a key
         }) {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        cases.push_back({to_string(span), 2, r.queries, r.keys, 4, 2, 12, r.query_offset,
                         r.key_offset, Layout::gaps, 0.3f, documents, dtype,
                         std::array{dtype, dtype, dtype}});
      }
    }
  }
  cases.push_back({"full", 1, 300, 300, 3, 1, 64, 0, 0, Layout::fused, 0.125f, {{128, 96, 5}}});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Spans, AttentionDocumentsTest, testing::ValuesIn(document_cases()));

TEST(AttentionDocuments, HaveTheSameBitsForAnyNumberOfThreads) {
  for (const Span& span : example_spans({50})) {
    const Case c{to_string(span), 2, 200, 200, 4, 2, 12, 0, 0, Layout::fused, 0.3f, documents};
    const auto bits = [&](int threads) {
      Call call(c);
      call.forward(c, threads);
      call.backward(c, threads);
      return call.bits();
    };
    const auto one = bits(1);
    EXPECT_EQ(one, bits(2)) << c;
    EXPECT_EQ(one, bits(3)) << c;
  }
}

// Rows [begin, begin + count) of dimension 1.
Numbers part(const Tensor& x, int64_t begin, int64_t count) {
  return values(x.slice(1, begin, count));
}

// Each document, computed as a sequence of its own at the same positions.
TEST(AttentionDocuments, ArePackedAsIfEachWereAlone) {
  for (const Span& span : example_spans({1, 6, 40})) {
    const Case packed{to_string(span),   1, 130, 130, 2, 1, 16, 0, 0, Layout::contiguous, 0.25f,
                      {{7, 5, 1, 1, 64}}};
    Call whole(packed);
    whole.forward(packed);
    whole.backward(packed);
    for (int64_t begin = 0, count = 0; begin < packed.queries; begin += count) {
      count = 1;
      const auto in_document = [&](int64_t position) {
        return position < packed.queries && packed.first_key(0, position) == begin;
      };
      while (in_document(begin + count)) ++count;
      Case alone = packed;
      alone.queries = alone.keys = count;
      alone.query_offset = alone.key_offset = begin;
      alone.documents.clear();
      Call call(alone);
      call.input.q = whole.input.q.slice(1, begin, count);
      call.input.k = whole.input.k.slice(1, begin, count);
      call.input.v = whole.input.v.slice(1, begin, count);
      call.dout = whole.dout.slice(1, begin, count);
      call.forward(alone);
      call.backward(alone);
      EXPECT_LT(error(part(whole.out, begin, count), values(call.out)), 1e-6) << alone;
      EXPECT_LT(error(values(whole.lse.slice(2, begin, count)), values(call.lse)), 1e-6) << alone;
      const double least = static_cast<double>(packed.scale) * norm(values(call.dout));
      const Three &of_packed = whole.gradient, &of_alone = call.gradient;
      EXPECT_LT(error(part(of_packed.q, begin, count), values(of_alone.q), least), 1e-6) << alone;
      EXPECT_LT(error(part(of_packed.k, begin, count), values(of_alone.k), least), 1e-6) << alone;
      EXPECT_LT(error(part(of_packed.v, begin, count), values(of_alone.v), least), 1e-6) << alone;
    }
  }
}

// Down to the bits, apart from the query at position 0, whose q and k gradients become exactly 0.
TEST(AttentionDocuments, OneDocumentIsTheWholeSequence) {
  for (const Span& span : example_spans({9, 70})) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Case c{to_string(span),      2, 150, 190, 2, 2, 24, 40, 0, Layout::gaps, 0.2f, {}, dtype,
             {dtype, dtype, dtype}};
      const auto bits = [&] {
        Call call(c);
        call.forward(c);
        call.backward(c);
        return call.bits();
      };
      const auto without = bits();
      c.documents = {{}, {}};
      EXPECT_EQ(bits(), without) << c;
    }
  }
}

// Exactly, since AdamW would turn rounding noise into steps of full size.
TEST(AttentionDocuments, GradientsOfQAndKAreZeroInDocumentsOfOneToken) {
  const Case c{"full", 1, 120, 120, 2, 1, 33, 0, 0, Layout::gaps, 0.3f, {{50, 1, 1, 1, 30, 1}}};
  Call call(c);
  call.forward(c);
  call.backward(c);
  for (const int64_t token : {50, 51, 52, 83}) {
    for (const Tensor& x : {call.gradient.q, call.gradient.k}) {
      for (const double value : part(x, token, 1)) EXPECT_EQ(value, 0) << token;
    }
  }
}

// A NaN spreads to everything that is computed from it, so that the number of NaN rows counts
// visits. They stay within a tile or two of the document.
TEST(AttentionDocuments, OthersAreNotVisited) {
  constexpr int64_t length = 64, slack = 2 * 128, tokens = 2048;
  const Case c{"full", 1,
               tokens, tokens,
               1,      1,
               16,     0,
               0,      Layout::contiguous,
               0.25f,  {std::vector(tokens / length, length)}};
  const auto marked_tokens = [](const Tensor& x) {
    return poison_left(x.slice(2, 0, 1).slice(3, 0, 1));
  };
  for (const int64_t marked : {0, 777, 2047}) {
    const auto mark = [&](const Tensor& x) {
      set(x.slice(1, marked, 1), [](int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
    };
    Call call(c);
    call.forward(c);
    mark(call.dout);
    call.backward(c);
    EXPECT_GE(marked_tokens(call.gradient.v), marked % length + 1);
    EXPECT_LE(marked_tokens(call.gradient.v), length + slack);
    EXPECT_LE(marked_tokens(call.gradient.k), length + slack);

    Call again(c);
    mark(again.input.v);
    again.forward(c);
    EXPECT_GE(marked_tokens(again.out), length - marked % length);
    EXPECT_LE(marked_tokens(again.out), length + slack);
    again.backward(c);
    EXPECT_LE(marked_tokens(again.gradient.q), length + slack);
  }
}

TEST(AttentionDocuments, RefusesFirstKeysThatDoNotFitTheQueries) {
  const Case c{"full", 2, 8, 8, 1, 1, 8, 0, 0, Layout::contiguous, 1.0f};
  Call call(c);
  const auto message = [&](const Tensor& first_keys) -> std::string {
    AttentionMask mask = call.mask(c);
    mask.first_keys = first_keys;
    try {
      attention(Stream(device()),
                {call.input.q, call.input.k, call.input.v, mask, 1, call.out, call.lse});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const OwnedTensor good = integers(16, [](int64_t) { return 0; });
  const OwnedTensor floats({2, 8});
  EXPECT_EQ(message(Tensor(good).reshape({2, 8})), "");
  EXPECT_NE(message(Tensor(good).reshape({2, 8}).slice(1, 0, 7))
                .find("first_keys is int32 [2, 7], not int32 [2, 8]"),
            std::string::npos);
  EXPECT_NE(message(floats).find("first_keys is fp32"), std::string::npos);
}

}  // namespace
}  // namespace masformer
