// Owns what one rank computes with: its stream, its groups and its stage.
#pragma once

#include <exception>
#include <new>

#include "data/loader.h"
#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/process_groups.h"
#include "runtime/error.h"

namespace masformer {

class Job {
 public:
  // Allocates the stage's memory. Throws AgreedUsageError on all ranks if a host or a device has
  // too little. `recorder` gets what the rank does, if there is one, and outlives the job.
  // Collective.
  Job(const MpiSession& session, RunPlan plan, Purpose purpose, const RuntimeOptions& runtime,
      Recorder* recorder = nullptr);

  RunPlan plan;
  Stream stream;
  ProcessGroups groups;
  Stage stage;
  // Peak FLOP/s of this rank and of all ranks together, in the layers' dtype (rank_speed.h).
  double rank_peak_flops, peak_flops;

  Communicator& world() { return *groups.world; }
  bool first() const { return groups.world->rank() == 0; }

  // Runs `work`, in which ranks exchange tensors, and returns its result. Releasing device memory
  // waits for the device, so if `work` throws, run() makes sure that the device does not wait for
  // other ranks. If all ranks throw the same error, they complete the operations under way
  // together; if only this rank throws, it aborts them. Throws Error in place of std::bad_alloc,
  // with this rank's place. Whatever `work` uses on the device must outlive the call.
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
    } catch (const std::bad_alloc&) {
      fail_out_of_memory();
    }
  }

  // The part of each window that this rank loads: what its context rank holds.
  Window window() const;
  // Copies a data rank's batch, loaded as window() says, into the stage, cut into micro-batches.
  void set_batch(const Batch& batch);
  // Run one schedule over the batch. Call them inside run().
  StepTiming run_training(std::int64_t step, std::int64_t predicted_tokens);
  StepTiming run_evaluation();

 private:
  // Has long calls of attention let MPI move the keys and values of the next ones.
  void poll_while_computing();
  Stage make_stage(Purpose purpose);
  // Completes the operations under way on all ranks. If that fails, throws Error with that message
  // and the cause's.
  void drain(const std::exception& cause);
  [[noreturn]] void fail_out_of_memory() const;

  Recorder* recorder_;
};

}  // namespace masformer
