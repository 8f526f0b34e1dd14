#include "model/program.h"

#include <algorithm>

namespace masformer {

bool StageProgram::recomputed_together(int writer, int reader) const {
  return std::ranges::any_of(recomputed, [&](const StageLayers& again) {
    return again.begin <= writer && writer < reader && reader < again.end;
  });
}

std::vector<ProgramPoint> StageProgram::points(ActionKind kind, int chunk) const {
  const auto [begin, end] = chunks[static_cast<std::size_t>(chunk)];
  std::vector<ProgramPoint> order;
  if (kind == ActionKind::forward) {
    for (int layer = begin; layer < end; ++layer) order.push_back({layer, Pass::forward});
    return order;
  }
  auto again = recomputed.rbegin();
  for (int layer = end; layer-- > begin;) {
    if (kind != ActionKind::backward_weight) {
      while (again != recomputed.rend() && again->end > layer + 1) ++again;
      if (again != recomputed.rend() && again->end == layer + 1) {
        for (int l = again->begin; l < again->end; ++l) order.push_back({l, Pass::recompute});
      }
      order.push_back({layer, Pass::backward_input});
    }
    if (kind != ActionKind::backward_input) order.push_back({layer, Pass::backward_weight});
  }
  return order;
}

}  // namespace masformer
