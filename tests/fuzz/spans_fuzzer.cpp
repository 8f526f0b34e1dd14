// Lists of spans: what parses is printed and parses again to the same; and what a span's geometry
// says follows from first_visible(), pair by pair.
#include <algorithm>
#include <cstdint>

#include "runtime/span.h"
#include "tests/fuzz/fuzz.h"

namespace masformer::fuzz {
namespace {

Visibility counted_visibility(const Span& span, PositionRange queries, PositionRange keys) {
  std::int64_t seen = 0;
  for (std::int64_t query = queries.begin; query < queries.end; ++query) {
    for (std::int64_t key = keys.begin; key < keys.end; ++key) {
      seen += first_visible(span, query) <= key && key <= query ? 1 : 0;
    }
  }
  if (seen == 0) return Visibility::none;
  return seen == queries.size() * keys.size() ? Visibility::all : Visibility::partly;
}

// Ranges around `base`: the sequence's start, or so far out that sums might overflow.
void check_geometry(const Span& span, std::int64_t base) {
  for (const PositionRange queries : {PositionRange{base, base + 1}, {base + 2, base + 7}}) {
    for (const PositionRange keys : {PositionRange{base, base + 2}, {base + 3, base + 5}}) {
      check(visibility(span, queries, keys) == counted_visibility(span, queries, keys),
            "visibility() is the count of visible pairs");
      const PositionRange seeing = seeing_queries(
          [&](std::int64_t query) { return first_visible(span, query); }, keys, {0, base + 9});
      for (std::int64_t query = base; query < base + 9; ++query) {
        const bool sees = visibility(span, {query, query + 1}, keys) != Visibility::none;
        check(sees == (seeing.begin <= query && query < seeing.end),
              "seeing_queries() are those with a visible key");
      }
    }
  }
}

void check_list(std::string_view text) {
  const auto spans = accepted([&] { return parse_spans(text); });
  if (!spans) return;
  check(!spans->empty(), "a list that parses has an entry");
  const std::string printed = to_string(*spans);
  check(parse_spans(printed) == *spans, "a list reads back from its print");
  check(to_string(parse_spans(printed)) == printed, "a print prints as itself");
  constexpr std::size_t enough = 8;
  for (std::size_t i = 0; i < std::min(spans->size(), enough); ++i) {
    check(parse_span(to_string((*spans)[i])) == (*spans)[i], "a span reads back from its print");
    check_geometry((*spans)[i], 0);
    check_geometry((*spans)[i], INT64_MAX - 10);
  }
}

}  // namespace
}  // namespace masformer::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  masformer::fuzz::check_list(masformer::fuzz::text_of(data, size));
  return 0;
}
