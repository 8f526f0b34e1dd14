#include "runtime/span.h"

#include <algorithm>
#include <optional>

#include "runtime/error.h"
#include "runtime/repeated_list.h"

namespace masformer {
Visibility visibility(const Span& span, PositionRange queries, PositionRange keys) {
  const PositionRange visible = visible_keys(span, queries);
  if (keys.size() <= 0 || visible.size() <= 0) return Visibility::none;
  if (keys.end <= visible.begin || keys.begin >= visible.end) return Visibility::none;
  const bool no_future = keys.end - 1 <= queries.begin;
  const bool no_past = first_visible(span, queries.end - 1) <= keys.begin;
  return no_future && no_past ? Visibility::all : Visibility::partly;
}

std::int64_t visible_pairs(const Span& span, std::int64_t sequence) {
  std::int64_t pairs = 0;
  for (std::int64_t query = 0; query < sequence; ++query) {
    pairs += query - first_visible(span, query) + 1;
  }
  return pairs;
}

Span parse_span(std::string_view text) {
  const auto size_after = [&](std::string_view prefix) -> std::optional<std::int64_t> {
    if (text.substr(0, prefix.size()) != prefix) return std::nullopt;
    return parse_count(text.substr(prefix.size()));
  };
  if (text == "full") return {};
  if (const auto size = size_after("window:")) return {Span::Kind::window, *size};
  if (const auto size = size_after("block:")) return {Span::Kind::block, *size};
  refuse("\"{}\" is no attention span: write full, window:w or block:b, with w, b at least 1",
         text);
}

std::string to_string(const Span& span) {
  switch (span.kind) {
    case Span::Kind::full:
      return "full";
    case Span::Kind::window:
      return fmt::format("window:{}", span.size);
    case Span::Kind::block:
      return fmt::format("block:{}", span.size);
  }
  fail("unknown kind of span {}", static_cast<int>(span.kind));
}

std::vector<Span> parse_spans(std::string_view text) {
  std::vector<Span> spans;
  for (const std::string_view entry : expand_list(text, "the list", "full*8,window:256*16")) {
    spans.push_back(parse_span(entry));
  }
  return spans;
}

std::string to_string(const std::vector<Span>& spans) {
  std::string text;
  for (std::size_t begin = 0; begin < spans.size();) {
    std::size_t end = begin + 1;
    while (end < spans.size() && spans[end] == spans[begin]) ++end;
    if (begin > 0) text += ',';
    text += to_string(spans[begin]);
    if (end - begin > 1) text += fmt::format("*{}", end - begin);
    begin = end;
  }
  return text;
}

}  // namespace masformer
