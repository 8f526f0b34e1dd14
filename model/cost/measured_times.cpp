#include "model/cost/measured_times.h"

#include <fmt/format.h>

#include "runtime/error.h"

namespace masformer {

std::string recompute_name(Recompute policy) {
  return fmt::format("{} {}", name_of(Pass::recompute), name_of(policy));
}

PassSeconds MeasuredTimes::of(const StageSpec& stage, int layer) const {
  const auto index = static_cast<std::size_t>(layer);
  const auto kind = kinds_.find(stage.layers[index]->kind());
  require(kind != kinds_.end(), "layers of kind \"{}\" were not measured",
          stage.layers[index]->kind());
  const auto seconds = [&](const std::string& name) {
    const auto found = kind->second.find(name);
    return found == kind->second.end() ? 0.0 : found->second;
  };
  const auto pass = [&](Pass which) { return seconds(std::string(name_of(which))); };
  return {.forward = pass(Pass::forward),
          .backward_input =
              pass(Pass::backward_input) + seconds(recompute_name(stage.recompute[index])),
          .backward_weight = pass(Pass::backward_weight)};
}

}  // namespace masformer
