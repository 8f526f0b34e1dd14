// What one rank works with, once everything is decided: its groups, its stream and its stage.
#pragma once

#include "data/loader.h"
#include "launch/run_plan.h"
#include "parallel/communicators.h"
#include "parallel/mpi_communicator.h"

namespace masformer {

class Job {
 public:
  // Takes the stage's memory; throws AgreedUsageError on all ranks where a machine has not got it.
  // Collective.
  // `threads`: of each op; 0 stands for OMP_NUM_THREADS, else cores over the ranks on this host.
  Job(const MpiSession& session, RunPlan plan, Purpose purpose, std::int64_t threads);

  RunPlan plan;
  Communicators groups;
  Stream stream;
  Stage stage;
  // fp32 operations a second that all ranks can do at best, together: measured on start-up.
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
  double measure_peak(int ranks_on_this_host);
};

}  // namespace masformer
