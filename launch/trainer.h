// The training loop: the only place where data, model and parallel meet.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "data/prefetcher.h"
#include "data/split.h"
#include "data/token_store.h"
#include "launch/console.h"
#include "launch/job.h"
#include "launch/metrics.h"
#include "launch/options.h"
#include "launch/run_directory.h"
#include "launch/start.h"
#include "runtime/error.h"

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
  struct StepResult {
    double loss = 0, norm = 0, bubble = 0;
    bool stop = false;
  };
  ExitCode train();
  void check_held_out() const;
  void prepare_output();
  StepResult step(std::int64_t number);
  StepMetrics measure(std::int64_t number, const StepResult& result, double seconds);
  void after_step(std::int64_t number, const StepResult& result, double seconds);
  // Sums over the world: the loss, how many ranks were asked to stop, and the idle share.
  StepResult join(const StepTiming& timing);
  void save(std::int64_t number);
  // Throws Error where a weight is not: such a checkpoint would only hide the older ones.
  void check_finite(std::int64_t number) const;
  void prune();
  void dump_gradients(std::int64_t number);
  SentByAxis sent_bytes() const;  // of this rank since the start
  SentByAxis sent_in_step();      // of all ranks, since sent_before_
  void say(const std::string& text);

  const Options& options_;
  const OptionTable& table_;
  Job job_;
  Split train_, held_out_;
  Loader loader_;
  std::string data_digest_;
  std::unique_ptr<RunDirectory> directory_;  // on rank 0
  std::unique_ptr<MetricsWriter> metrics_;   // on rank 0
  std::unique_ptr<Console> console_;         // on rank 0
  Start start_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::int64_t peak_memory_ = 0;
  std::int64_t saved_step_ = -1;
  SentByAxis sent_before_;
};

}  // namespace masformer
