// A whole model on one rank, without MPI: the oracle for every layout.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/optimizer.h"
#include "model/stage.h"
#include "parallel/comm/process_groups.h"
#include "parallel/comm/self_communicator.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer::test {

// The groups of a job of one rank.
inline ProcessGroups alone() {
  return make_process_groups(std::make_unique<SelfCommunicator>(), Mesh{});
}

// One rank's stage of a model, with its schedules. `change` may modify the specification.
struct StageUnderTest {
  Schedule training, evaluation;
  Stage stage;

  StageUnderTest(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
                 const Partition& partition, const StagePolicy& policy, Schedule schedule,
                 const Stream& stream, const ProcessGroups& groups,
                 const std::function<void(StageSpec&)>& change = {})
      : training(std::move(schedule)),
        evaluation(forward_only(training.placement, training.micro_batches)),
        stage(make(config, mesh, at, partition, policy, stream, groups, change)) {}

 private:
  Stage make(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
             const Partition& partition, StagePolicy policy, const Stream& stream,
             const ProcessGroups& groups, const std::function<void(StageSpec&)>& change) {
    policy.device = stream.device();
    StageSpec spec(config, mesh, at, partition, policy, training.placement);
    if (change) change(spec);
    StagePlan plan = plan_stage(spec, Purpose::training, training, evaluation);
    return Stage(std::move(spec), std::move(plan), stream, groups);
  }
};

// Positions 0 ... sequence - 1, `samples` times.
inline std::vector<std::int32_t> positions(std::int64_t samples, std::int64_t sequence) {
  std::vector<std::int32_t> all;
  for (std::int64_t i = 0; i < samples * sequence; ++i) {
    all.push_back(static_cast<std::int32_t>(i % sequence));
  }
  return all;
}

}  // namespace masformer::test
