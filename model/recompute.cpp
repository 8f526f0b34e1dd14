#include "model/recompute.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "runtime/error.h"
#include "runtime/repeated_list.h"

namespace masformer {
namespace {

Recompute parse_entry(std::string_view text) {
  if (const auto policy = find_enum<Recompute>(text)) return *policy;
  refuse("train.recompute has \"{}\": pick one of {}", text,
         fmt::join(names_of<Recompute>(), ", "));
}

}  // namespace

std::vector<Recompute> parse_recompute(std::string_view text, int layers) {
  std::vector<Recompute> policies;
  for (const std::string_view entry : expand_list(text, "train.recompute", "block*8,none*16")) {
    policies.push_back(parse_entry(entry));
  }
  const bool one_for_all = policies.size() == 1;
  if (one_for_all) policies.resize(static_cast<std::size_t>(layers), policies.front());
  if (std::ssize(policies) != layers) {
    refuse("train.recompute={} has {} entries for {} layers: write one for all, or one per layer",
           text, policies.size(), layers);
  }
  return policies;
}

std::string to_string(const std::vector<Recompute>& layers) {
  const bool alike = std::ranges::count(layers, layers.front()) == std::ssize(layers);
  if (alike) return std::string(name_of(layers.front()));
  return to_repeated_list(layers, [](Recompute policy) { return std::string(name_of(policy)); });
}

}  // namespace masformer
