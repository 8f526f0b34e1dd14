// Attention spans for tests, made from the list of kinds (runtime/span.h), so that tests with them
// cover new kinds, too.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/span.h"

namespace masformer::test {

// Every kind of span, with each of the sizes if it has one.
inline std::vector<Span> example_spans(const std::vector<std::int64_t>& sizes) {
  std::vector<Span> spans;
  for (const auto& [kind, name] : enum_names<SpanKind>) {
    if (!has_size(kind)) {
      spans.push_back({kind});
      continue;
    }
    for (const std::int64_t size : sizes) spans.push_back({kind, size});
  }
  return spans;
}

}  // namespace masformer::test
