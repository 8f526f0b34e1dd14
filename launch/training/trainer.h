// The training loop: the only place where data, model and parallel meet.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "data/prefetcher.h"
#include "data/split.h"
#include "data/token_store.h"
#include "launch/options/options.h"
#include "launch/output/console.h"
#include "launch/output/metrics.h"
#include "launch/output/run_directory.h"
#include "launch/training/job.h"
#include "launch/training/resume.h"
#include "runtime/error.h"
#include "runtime/readback.h"

namespace masformer {

class Trainer {
 public:
  // `options`, `table` and `store` outlive the trainer. Everything that can be refused is refused
  // here, on all ranks. Collective.
  Trainer(const MpiSession& session, const Options& options, const OptionTable& table,
          const TokenStore& store, RunPlan plan);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Trains to the last step, or to a signal.
  ExitCode run();

 private:
  using Clock = std::chrono::steady_clock;
  // A step that was issued to the ranks' devices, and what is known of it before its results.
  struct IssuedStep {
    std::int64_t number;
    StepTiming timing;
    SentByAxis sent;  // by this rank
  };
  // What all ranks read of a step together.
  struct StepResult {
    double loss = 0, norm = 0, bubble = 0;
    SentByAxis sent;  // over all ranks
    bool stop = false;
  };
  ExitCode train();
  // After a failure that all ranks have agreed on: what is under way ends on all of them before one
  // breaks off its channels. Throws Error, of both, where it ends by another failure.
  void drain(const std::exception& failure);
  void check_held_out() const;
  void prepare_output();
  // Issues a step's passes, up to the gradient's norm.
  StepTiming forward_backward(std::int64_t number);
  // Issues a step, and concludes the one before once its passes are issued. Devices are still at
  // work when it returns.
  void issue(std::int64_t number);
  // Waits for the step that was issued, and writes what there is to say of it.
  void conclude();
  bool is_evaluated(std::int64_t number) const;
  bool is_saved(std::int64_t number) const;
  StepResult reduce_results(const IssuedStep& step);
  std::int64_t predicted_tokens() const;  // of a step, over all ranks
  StepMetrics measure(std::int64_t number, const StepResult& result, double seconds) const;
  void save(std::int64_t number);
  // Throws Error where a weight is not: such a checkpoint would only hide the older ones.
  void check_finite(std::int64_t number) const;
  void prune();
  void dump_gradients(std::int64_t number);
  SentByAxis sent_bytes() const;  // of this rank since the start
  void log(const std::string& text);

  const Options& options_;
  const OptionTable& table_;
  Job job_;
  Split train_, held_out_;
  Loader loader_;
  std::string data_digest_;
  std::unique_ptr<RunDirectory> directory_;  // on rank 0
  std::unique_ptr<MetricsWriter> metrics_;   // on rank 0
  std::unique_ptr<Console> console_;         // on rank 0
  ResumeState start_;
  std::unique_ptr<Prefetcher> prefetcher_;
  Readback loss_, squared_norm_;
  std::optional<IssuedStep> issued_;  // not concluded
  Clock::time_point concluded_;       // when the one before was, or issuing began
  bool stop_ = false;                 // some rank was asked to
  std::int64_t peak_memory_ = 0;
  std::int64_t saved_step_ = -1;
  AbortOnFailure abort_on_failure_{job_.stream};  // the job's comes after loss_'s memory
};

}  // namespace masformer
