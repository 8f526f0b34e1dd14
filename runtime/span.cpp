#include "runtime/span.h"

#include <algorithm>
#include <iterator>

#include <fmt/ranges.h>

#include "runtime/error.h"
#include "runtime/repeated_list.h"

namespace masformer {
namespace {

// The text form of a kind of span.
struct Form {
  SpanKind kind;
  std::string_view name, size;
};

#define MASFORMER_FORM(kind, name, size) {SpanKind::kind, name, size},
constexpr Form forms[] = {MASFORMER_SPANS(MASFORMER_FORM)};
#undef MASFORMER_FORM

[[noreturn]] void refuse_text(std::string_view text) {
  std::vector<std::string_view> sizes;
  for (const Form& form : forms) {
    if (!form.size.empty()) sizes.push_back(form.size);
  }
  refuse("\"{}\" is not an attention span: write {}, with {} at least 1", text, span_forms(),
         fmt::join(sizes, ", "));
}

}  // namespace

std::string span_forms() {
  std::string text;
  for (const Form& form : forms) {
    if (!text.empty()) text += &form == &forms[std::size(forms) - 1] ? " or " : ", ";
    text += form.name;
    if (!form.size.empty()) text.append(":").append(form.size);
  }
  return text;
}

bool has_size(SpanKind kind) {
  return !std::ranges::find(forms, kind, &Form::kind)->size.empty();
}

Visibility visibility(const Span& span, PositionRange queries, PositionRange keys) {
  const PositionRange visible = visible_keys(span, queries);
  if (keys.size() <= 0 || visible.size() <= 0) return Visibility::none;
  if (keys.end <= visible.begin || keys.begin >= visible.end) return Visibility::none;
  const bool no_future = keys.end - 1 <= queries.begin;
  const bool no_past = first_visible(span, queries.end - 1) <= keys.begin;
  return no_future && no_past ? Visibility::all : Visibility::partly;
}

namespace {

// The pairs of n queries that see 1, 2, ... n keys.
std::int64_t triangle(std::int64_t n) {
  return n * (n + 1) / 2;
}

}  // namespace

std::int64_t visible_pairs(const Span& span, std::int64_t sequence) {
  const std::int64_t size = span.size;
  switch (span.kind) {
    case SpanKind::full:
      return triangle(sequence);
    case SpanKind::window:
      return sequence <= size ? triangle(sequence) : triangle(size) + (sequence - size) * size;
    case SpanKind::block: {
      // Each query sees its own block up to itself, and unless that is the first, `size` keys more.
      const std::int64_t blocks = sequence / size, rest = sequence % size;
      return blocks * triangle(size) + triangle(rest) + std::max(sequence - size, 0L) * size;
    }
  }
  fail("unknown span {}", static_cast<int>(span.kind));
}

std::int64_t visible_pairs(const Span& span, PositionRange document) {
  std::int64_t pairs = 0;
  for (std::int64_t query = document.begin; query < document.end; ++query) {
    pairs += query - std::max(first_visible(span, query), document.begin) + 1;
  }
  return pairs;
}

Span parse_span(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto kind = find_enum<SpanKind>(text.substr(0, colon));
  if (kind && !has_size(*kind) && colon == text.size()) return {*kind};
  if (kind && has_size(*kind) && colon < text.size()) {
    if (const auto size = parse_count(text.substr(colon + 1))) return {*kind, *size};
  }
  refuse_text(text);
}

std::string to_string(const Span& span) {
  const std::string_view name = name_of(span.kind);
  return has_size(span.kind) ? fmt::format("{}:{}", name, span.size) : std::string(name);
}

std::vector<Span> parse_spans(std::string_view text) {
  std::vector<Span> spans;
  for (const std::string_view entry : expand_list(text, "the list", "full*8,window:256*16")) {
    spans.push_back(parse_span(entry));
  }
  return spans;
}

std::string to_string(const std::vector<Span>& spans) {
  return to_repeated_list(spans, [](const Span& span) { return to_string(span); });
}

}  // namespace masformer
