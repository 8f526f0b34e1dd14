// Decides when a run's checkpoints are due, and writes the stage's parameters into them.
#pragma once

#include <cstdint>
#include <string>

#include "launch/options/options.h"
#include "launch/training/job.h"
#include "launch/training/run_output.h"

namespace masformer {

class Checkpointer {
 public:
  // All arguments outlive the checkpointer. `data_digest`: the token store's.
  Checkpointer(Job& job, RunOutput& output, const Options& options, const OptionTable& table,
               const std::string& data_digest);

  // Whether checkpoint.every asks for a checkpoint after step `step`.
  bool is_due(std::int64_t step) const;
  // Whether checkpoint.every asks for a checkpoint after the last step.
  bool is_due_at_end() const { return options_.checkpoint.every >= 0; }
  // Writes the checkpoint of step `step`, unless it was written already. Syncs the metrics to the
  // disk first; before and after the save, removes leftovers and checkpoints beyond
  // checkpoint.keep. Throws AgreedError if the checkpoint can't be written, or if a weight is not
  // finite: such a checkpoint would only displace good ones. Collective.
  void save(std::int64_t step);
  // Writes the summed gradients of step `step` to RUN_DIR/gradients. Throws AgreedError if that
  // fails. Collective.
  void dump_gradients(std::int64_t step);

 private:
  void check_finite(std::int64_t step) const;
  void record(std::int64_t step, double seconds);
  void prune();

  Job& job_;
  RunOutput& output_;
  const Options& options_;
  const OptionTable& table_;
  const std::string& data_digest_;
  std::int64_t saved_step_ = -1;
};

}  // namespace masformer
