// What one rank computes with: its stream, its groups and its stage.
#pragma once

#include <exception>

#include "data/loader.h"
#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/process_groups.h"
#include "runtime/error.h"

namespace masformer {

class Job {
 public:
  // Takes the stage's memory. Throws AgreedUsageError on all ranks where a host or a device has too
  // little. Collective.
  Job(const MpiSession& session, RunPlan plan, Purpose purpose, const RuntimeOptions& runtime);

  RunPlan plan;
  Stream stream;
  ProcessGroups groups;
  Stage stage;
  // FLOP/s at best, of this rank and of all ranks together: fp32 on CPUs, measured at start; of the
  // layers' dtype on CUDA devices, by their data sheet.
  double rank_peak_flops, peak_flops;

  Communicator& world() { return *groups.world; }
  bool first() const { return groups.world->rank() == 0; }

  // Runs `work`, in which ranks exchange tensors, and returns its result. Memory of a device is
  // released only when the device is done, so where `work` throws, run() makes sure that the device
  // waits for no other rank: after an error that all ranks throw alike, they complete together what
  // is under way; after an error of this rank alone, it is aborted. What `work` uses on the device
  // outlives the call.
  template <class Work>
  auto run(Work work) {
    const AbortOnFailure abort_on_failure(stream);
    try {
      return work();
    } catch (const AgreedUsageError& error) {
      drain(error);
      throw;
    } catch (const AgreedError& error) {
      drain(error);
      throw;
    }
  }

  // Copies a data rank's batch into the stage, cut into micro-batches.
  void set_batch(const Batch& batch);
  // Run one schedule over the batch, inside of run().
  StepTiming run_training(std::int64_t predicted_tokens);
  StepTiming run_evaluation();

 private:
  Stage make_stage(Purpose purpose);
  // Completes what is under way, on all ranks. Throws Error with both messages where that fails.
  void drain(const std::exception& cause);
};

}  // namespace masformer
