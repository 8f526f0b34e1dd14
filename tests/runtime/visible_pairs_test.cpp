#include "runtime/visible_pairs.h"

#include <gtest/gtest.h>

#include "tests/support/spans.h"

namespace masformer {
namespace {

TEST(VisiblePairs, AreThoseWithinADocumentThatTheSpanShows) {
  constexpr std::int64_t sequence = 20;
  for (const Span& span : test::example_spans({1, 2, 3, 5, 7, 19, 20, 30})) {
    const VisiblePairs pairs(span, sequence);
    for (std::int64_t begin = 0; begin < sequence; ++begin) {
      for (std::int64_t end = begin; end <= sequence; ++end) {
        std::int64_t count = 0;
        for (std::int64_t query = begin; query < end; ++query) {
          for (std::int64_t key = begin; key <= query; ++key) {
            if (key >= first_visible(span, query)) ++count;
          }
        }
        ASSERT_EQ(pairs.of_document({begin, end}), count)
            << to_string(span) << " [" << begin << ", " << end << ")";
      }
    }
    EXPECT_EQ(pairs.of_documents({0}), visible_pairs(span, sequence));
    EXPECT_EQ(pairs.of_documents({0, 7, 8}),
              pairs.of_document({0, 7}) + pairs.of_document({7, 8}) + pairs.of_document({8, 20}));
  }
}

}  // namespace
}  // namespace masformer
