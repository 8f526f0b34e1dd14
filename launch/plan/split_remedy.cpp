#include "launch/plan/split_remedy.h"

#include <fmt/format.h>

namespace masformer {

std::string short_split_remedy(const TokenStore& store, SplitKind kind, std::int64_t sequence) {
  if (store.tokens() <= sequence) {
    return fmt::format("lower train.sequence below the {} tokens of the store, or use a larger one",
                       store.tokens());
  }
  // The first document is never held out, the second one always.
  const std::size_t documents = store.documents().size();
  if (kind == SplitKind::held_out && documents < 2) {
    return "use a store of several documents, since the first is never held out";
  }
  if (kind == SplitKind::held_out && documents > 2) {
    return "raise data.held_out, or lower train.sequence";
  }
  if (kind == SplitKind::train && documents > 2) {
    return "lower data.held_out or train.sequence";
  }
  return "lower train.sequence";
}

}  // namespace masformer
