#include "runtime/enum_names.h"

#include <fmt/ranges.h>

namespace masformer {

void refuse_name(std::string_view name, const std::vector<std::string>& choices) {
  refuse("\"{}\" is not known: pick one of {}", name, fmt::join(choices, ", "));
}

}  // namespace masformer
