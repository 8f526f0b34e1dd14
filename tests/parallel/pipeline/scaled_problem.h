// A problem whose costs are in another unit of time.
#pragma once

#include <algorithm>

#include "parallel/pipeline/balance.h"

namespace masformer::test {

inline BalanceProblem scaled_problem(BalanceProblem problem, double factor) {
  const auto scale = [&](BlockCost& cost) {
    cost.seconds.forward *= factor;
    cost.seconds.backward_input *= factor;
    cost.seconds.backward_weight *= factor;
  };
  scale(problem.embedding.cost);
  scale(problem.head.cost);
  for (BalanceBlock& block : problem.blocks) std::ranges::for_each(block.choices, scale);
  return problem;
}

}  // namespace masformer::test
