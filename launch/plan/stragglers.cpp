#include "launch/plan/stragglers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "launch/plan/step_costs.h"
#include "runtime/error.h"
#include "runtime/repeated_list.h"
#include "runtime/trimmed.h"

namespace masformer {
namespace {

constexpr std::string_view example = "2:1.5,3:2";
constexpr double largest_factor = 1e6;

// All of `text` as a number; nothing if it is none, or not finite.
template <class T>
std::optional<T> parse_finite(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || error != std::errc()) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

struct Straggler {
  int stage = 0;
  double factor = 1;
};

Straggler parse_straggler(std::string_view entry) {
  const std::size_t colon = entry.find(':');
  if (colon != std::string_view::npos) {
    const auto stage = parse_finite<int>(trimmed(entry.substr(0, colon)));
    const auto factor = parse_finite<double>(trimmed(entry.substr(colon + 1)));
    if (stage && factor && *factor > 0 && *factor <= largest_factor) return {*stage, *factor};
  }
  refuse("straggler: \"{}\" is not a stage and a factor above 0, at most {}: write as in {}", entry,
         largest_factor, example);
}

}  // namespace

std::vector<double> parse_stragglers(const std::string& list, int stages) {
  std::vector<std::optional<double>> given(static_cast<std::size_t>(stages));
  for (const std::string_view entry : expand_list(list, "straggler", example)) {
    const Straggler straggler = parse_straggler(entry);
    if (straggler.stage < 0 || straggler.stage >= stages) {
      refuse(
          "straggler={} names stage {}, but the last pipeline stage is at most {}: name another, "
          "or "
          "change parallel.pipeline",
          list, straggler.stage, stages - 1);
    }
    auto& factor = given[static_cast<std::size_t>(straggler.stage)];
    if (factor) refuse("straggler={} names stage {} twice", list, straggler.stage);
    factor = straggler.factor;
  }
  std::vector<double> factors;
  for (const auto& factor : given) factors.push_back(factor.value_or(1));
  if (std::ranges::count(factors, 1) == stages) {
    refuse("straggler={} slows no stage: write a factor other than 1, as in {}", list, example);
  }
  return factors;
}

double straggling_step_seconds(const RunPlan& plan, const DeviceFigures& figures,
                               const LayerTimes& times, const std::vector<double>& factors) {
  StepCosts costs = step_costs(plan, figures, times);
  costs.slowdown = factors;
  for (std::size_t stage = 0; stage < factors.size(); ++stage) {
    costs.update[stage] *= factors[stage];
  }
  return simulate_step(plan.training, costs).seconds;
}

}  // namespace masformer
