// A small training run, whose options tests of its plan change.
#pragma once

#include <cstdint>
#include <functional>

#include "launch/plan/run_plan.h"

namespace masformer::test {

using Change = std::function<void(Options&)>;

constexpr std::int64_t store_vocab = 300;

inline Options small_run() {
  Options o;
  o.model.spans = "full,window:8*2,full";
  o.model.hidden = 64;
  o.train.sequence = 32;
  return o;
}

inline RunPlan plan_of(const Change& change, int ranks = 1) {
  Options options = small_run();
  change(options);
  return make_run_plan(options, ranks, store_vocab);
}

}  // namespace masformer::test
