#include "launch/plan/layout_remedy.h"

#include <array>

#include <fmt/format.h>

#include "launch/plan/run_plan.h"
#include "runtime/error.h"

namespace masformer {
namespace {

bool can_plan(const Options& options, int ranks, std::int64_t store_vocab,
              const PlanInputs& inputs) {
  try {
    make_run_plan(options, ranks, store_vocab, inputs);
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

}  // namespace

std::string nearest_layout(Options options, int ranks, std::int64_t store_vocab,
                           PlanInputs inputs) {
  inputs.names_remedy = false;
  inputs.searches_briefly = true;
  const Options refused = options;
  if (options.train.micro_batch > 1) {
    options.train.micro_batch = 1;
    if (can_plan(options, ranks, store_vocab, inputs)) return "train.micro_batch=1 would fit";
    options = refused;
  }
  struct Extent {
    const char* name;
    std::int64_t& extent;
  };
  const std::array axes{Extent{"parallel.pipeline", options.parallel.pipeline},
                        Extent{"parallel.tensor", options.parallel.tensor},
                        Extent{"parallel.context", options.parallel.context}};
  if (refused.parallel.partition != "auto") options.parallel.partition = "auto";
  for (const int factor : {2, 4, 8}) {
    for (const Extent& axis : axes) {
      axis.extent *= factor;
      const bool fits = can_plan(options, ranks * factor, store_vocab, inputs);
      const std::int64_t extent = axis.extent;
      axis.extent /= factor;
      if (fits) {
        return fmt::format("the nearest layout that fits is {}={}, on {} ranks", axis.name, extent,
                           ranks * factor);
      }
    }
  }
  return "no layout of up to eight times as many ranks fits: shorten train.sequence, or make the "
         "model smaller";
}

}  // namespace masformer
