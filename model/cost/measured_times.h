// The times of layers as they were measured on the device: the other source of LayerTimes.
#pragma once

#include <map>
#include <string>

#include "model/cost/layer_times.h"

namespace masformer {

// Seconds of one layer of a kind for one micro-batch, waits for tensor and context ranks included,
// by what was measured: the name of a pass, or for recomputation recompute_name().
using KindSeconds = std::map<std::string, double>;

std::string recompute_name(Recompute policy);  // "recompute selective"

class MeasuredTimes final : public LayerTimes {
 public:
  // `kinds`: by Layer::kind().
  explicit MeasuredTimes(std::map<std::string, KindSeconds> kinds) : kinds_(std::move(kinds)) {}

  // Throws Error for a layer whose kind was not measured. What a kind lacks takes no time.
  PassSeconds of(const StageSpec& stage, int layer) const override;
  std::string_view source() const override { return "measured times"; }

  const std::map<std::string, KindSeconds>& kinds() const { return kinds_; }

 private:
  std::map<std::string, KindSeconds> kinds_;
};

}  // namespace masformer
