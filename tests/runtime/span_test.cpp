// Compares every answer about a mask with its definition, pair by pair.
#include "runtime/span.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/spans.h"

namespace masformer {
namespace {

using std::int64_t;

// The definitions in span.h.
bool sees(const Span& span, int64_t query, int64_t key) {
  if (key > query) return false;
  switch (span.kind) {
    case SpanKind::full:
      return true;
    case SpanKind::window:
      return key > query - span.size;
    case SpanKind::block:
      return key / span.size + 1 >= query / span.size;
  }
  ADD_FAILURE() << "no definition of " << to_string(span);
  return false;
}

class SpanTest : public testing::TestWithParam<Span> {
 protected:
  static constexpr int64_t sequence = 41;
  Span span_ = GetParam();

  // Whether any pair, and whether every pair, of queries x keys is visible.
  struct Pairs {
    bool any = false;
    bool all = true;
  };
  Pairs pairs(PositionRange queries, PositionRange keys) const {
    Pairs found;
    for (int64_t query = queries.begin; query < queries.end; ++query) {
      for (int64_t key = keys.begin; key < keys.end; ++key) {
        found.any |= sees(span_, query, key);
        found.all &= sees(span_, query, key);
      }
    }
    return found;
  }

  template <class Work>
  static void for_each_range(const Work& work) {
    for (int64_t begin = 0; begin <= sequence; ++begin) {
      for (int64_t end = begin; end <= sequence; ++end) work(PositionRange{begin, end});
    }
  }
};

TEST_P(SpanTest, FirstVisibleIsTheFirstKeySeenAndNeverDecreases) {
  int64_t before = 0;
  for (int64_t query = 0; query < sequence; ++query) {
    const int64_t first = first_visible(span_, query);
    for (int64_t key = 0; key < sequence; ++key) {
      EXPECT_EQ(first <= key && key <= query, sees(span_, query, key)) << query << ' ' << key;
    }
    EXPECT_GE(first, before);
    before = first;
  }
}

TEST_P(SpanTest, RangesAreExactlyTheKeysSeenAndTheQueriesThatSee) {
  for_each_range([&](PositionRange range) {
    const PositionRange keys = visible_keys(span_, range);
    const PositionRange queries = seeing_queries(
        [&](int64_t query) { return first_visible(span_, query); }, range, {0, sequence});
    for (int64_t i = 0; i < sequence; ++i) {
      const PositionRange one{i, i + 1};
      EXPECT_EQ(keys.begin <= i && i < keys.end, pairs(range, one).any);
      EXPECT_EQ(queries.begin <= i && i < queries.end, pairs(one, range).any);
    }
    EXPECT_GE(keys.size(), 0);
    EXPECT_GE(queries.size(), 0);
  });
}

TEST_P(SpanTest, VisibilityTellsNonePartlyAndAll) {
  for_each_range([&](PositionRange queries) {
    for (int64_t begin = 0; begin < sequence; begin += 3) {
      for (int64_t size : {0, 1, 2, 7, 20}) {
        const PositionRange keys{begin, std::min(begin + size, sequence)};
        const Pairs found = pairs(queries, keys);
        const Visibility want = !found.any  ? Visibility::none
                                : found.all ? Visibility::all
                                            : Visibility::partly;
        ASSERT_EQ(visibility(span_, queries, keys), want)
            << queries.begin << ".." << queries.end << " x " << keys.begin << ".." << keys.end;
      }
    }
  });
}

TEST_P(SpanTest, TellsWhetherQueriesSeeThemselvesAlone) {
  for_each_range([&](PositionRange queries) {
    bool others = false;
    for (int64_t query = queries.begin; query < queries.end; ++query) {
      for (int64_t key = 0; key < query; ++key) others |= sees(span_, query, key);
    }
    EXPECT_EQ(sees_only_itself(span_, queries), !others) << queries.begin << ".." << queries.end;
  });
}

TEST_P(SpanTest, CountsVisiblePairs) {
  int64_t count = 0;
  for (int64_t query = 0; query < sequence; ++query) {
    EXPECT_EQ(visible_pairs(span_, query), count);
    for (std::int64_t begin = 0; begin < query; ++begin) {
      std::int64_t within = 0;
      for (std::int64_t i = begin; i < query; ++i) {
        for (std::int64_t key = begin; key <= i; ++key) within += sees(span_, i, key);
      }
      ASSERT_EQ(visible_pairs(span_, PositionRange{begin, query}), within) << begin;
    }
    for (int64_t key = 0; key < sequence; ++key) count += sees(span_, query, key) ? 1 : 0;
  }
}

TEST_P(SpanTest, TextReadsBack) {
  EXPECT_EQ(parse_span(to_string(span_)), span_);
}

INSTANTIATE_TEST_SUITE_P(Spans, SpanTest,
                         testing::ValuesIn(test::example_spans({1, 2, 8, 13, 40, 41, 1000})));

TEST(Span, IsWrittenAsItsKindAndSize) {
  EXPECT_EQ(to_string(Span{}), "full");
  EXPECT_EQ(to_string(Span{SpanKind::window, 256}), "window:256");
  EXPECT_EQ(to_string(Span{SpanKind::block, 64}), "block:64");
}

TEST(Span, FormsNameEveryKindWithItsSize) {
  const std::string forms = span_forms();
  for (const auto& [kind, name] : enum_names<SpanKind>) {
    EXPECT_NE((", " + forms + ",").find(' ' + std::string(name) + (has_size(kind) ? ":" : ",")),
              std::string::npos)
        << name << " in " << forms;
  }
  EXPECT_TRUE(forms.starts_with("full, window:w")) << forms;
}

TEST(SpanList, ExpandsAndIsWrittenShortest) {
  const Span full, window{Span::Kind::window, 256}, block{Span::Kind::block, 64};
  const std::vector<Span> spans = parse_spans("full*2, window:256,window:256*2,block:64,full*1");
  EXPECT_EQ(spans, (std::vector<Span>{full, full, window, window, window, block, full}));
  EXPECT_EQ(to_string(spans), "full*2,window:256*3,block:64,full");
  EXPECT_EQ(parse_spans(to_string(spans)), spans);
  EXPECT_EQ(parse_spans("full*8,window:256*16").size(), 24U);
}

TEST(SpanList, RefusalsQuoteTheTextAndNameTheForms) {
  const auto refusal = [](const std::string& text) -> std::string {
    try {
      parse_spans(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "(none)";
  };
  for (const char* text : {"window:0", "windw:5", "window:", "window:-3", "window:5x", "block",
                           "block:0", "Full", "full:3", "window:99999999999999999999"}) {
    EXPECT_NE(refusal(text).find('"' + std::string(text) + '"'), std::string::npos) << text;
    EXPECT_NE(refusal(text).find("is not an attention span: write " + span_forms() + ", with w, b"),
              std::string::npos)
        << text;
  }
  for (const char* text : {"full*0", "full*", "full*-1", "full*2*2", "full*99999999"}) {
    EXPECT_NE(refusal(text).find('"' + std::string(text) + '"'), std::string::npos) << text;
    EXPECT_NE(refusal(text).find("after *"), std::string::npos) << text;
  }
  EXPECT_EQ(parse_spans("full*65535,full").size(), 65536U);
  EXPECT_NE(refusal("full*65535,full*2").find("more than 65536 entries"), std::string::npos);
  for (const char* text : {"", "full,,full", "full,", " ,full"}) {
    EXPECT_NE(refusal(text).find("empty entry"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace masformer
