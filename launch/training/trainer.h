// The training loop: runs the steps, and writes metrics, evaluates and saves checkpoints when due.
#pragma once

#include <cstdint>
#include <optional>

#include <nlohmann/json.hpp>

#include "data/prefetcher.h"
#include "launch/options/options.h"
#include "launch/training/checkpointer.h"
#include "launch/training/job.h"
#include "launch/training/metrics_collector.h"
#include "launch/training/run_output.h"
#include "launch/training/step_profiler.h"
#include "launch/training/step_runner.h"
#include "launch/training/training_data.h"
#include "runtime/error.h"

namespace masformer {

// What training uses. The objects outlive the trainer.
struct Training {
  Job& job;
  const TrainingData& data;
  RunOutput& output;
  const Options& options;
  const OptionTable& table;
  nlohmann::json
      planned_memory;  // of each stage; null except on rank 0 (launch/training/run_events.h)
};

class Trainer {
 public:
  // Starts to load the batches after step `done`.
  Trainer(const Training& training, std::int64_t done);

  // Trains to the last step, or until a signal asks any rank to stop. Collective.
  ExitCode run();

 private:
  ExitCode train();
  void report_nothing_to_do() const;
  void report_stop(std::int64_t step) const;
  void report_end(std::int64_t step, bool saved) const;
  // Issues a step. Concludes the previous one between this step's passes and its update.
  void issue(std::int64_t number);
  // Whether step `number` is concluded before the next one is issued.
  bool concludes_at_once(std::int64_t number) const;
  // Waits for the issued step, writes its metrics, and evaluates if that is due.
  void conclude();
  bool is_evaluated(std::int64_t number) const;

  Training training_;
  std::int64_t done_;  // steps
  Prefetcher prefetcher_;
  StepRunner runner_;
  MetricsCollector collector_;
  Checkpointer checkpointer_;
  StepProfiler profiler_;
  std::optional<IssuedStep> issued_;  // not concluded
  bool stop_ = false;                 // a signal asked any rank to stop
};

}  // namespace masformer
