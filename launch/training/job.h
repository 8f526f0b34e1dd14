// What one rank works with, once everything is decided: its groups, its stream and its stage.
#pragma once

#include "data/loader.h"
#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

class Job {
 public:
  // Takes the stage's memory; throws AgreedUsageError on all ranks where a machine or a device has
  // not got it. Collective.
  Job(const MpiSession& session, RunPlan plan, Purpose purpose, const RuntimeOptions& runtime);

  RunPlan plan;
  Stream stream;
  ProcessGroups groups;
  Stage stage;
  // Operations a second that all ranks can do at best, together: of fp32 on CPUs, measured on
  // start-up; of the layers' dtype on CUDA devices, by their data sheet.
  double peak_flops;

  Communicator& world() { return *groups.world; }
  bool first() const { return groups.world->rank() == 0; }

  // Gives the stage the micro-batches that a data rank's batch is cut into.
  void feed(const Batch& batch);
  // Runs one schedule over the micro-batches fed.
  StepTiming run_training(std::int64_t predicted_tokens);
  StepTiming run_evaluation();

 private:
  Stage make_stage(Purpose purpose);
  double peak_of_rank(int ranks_on_this_host) const;

  AbortOnFailure abort_on_failure_{stream};
};

}  // namespace masformer
