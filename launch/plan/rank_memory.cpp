#include "launch/plan/rank_memory.h"

namespace masformer {

MemoryTable largest_memory(const RunPlan& plan, int pipe, Purpose purpose) {
  MemoryTable largest;
  for (int context = 0; context < plan.mesh.context; ++context) {
    // The last data rank and tensor rank own the most rows and tokens.
    const StageSpec stage = plan.describe_stage({.pipe = pipe,
                                                 .data = plan.mesh.data - 1,
                                                 .context = context,
                                                 .tensor = plan.mesh.tensor - 1});
    const MemoryTable memory = plan_memory(stage, plan.plan_stage(stage, purpose));
    if (memory.total() > largest.total()) largest = memory;
  }
  return largest;
}

}  // namespace masformer
