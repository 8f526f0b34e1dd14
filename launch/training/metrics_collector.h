// Reduces a step's results over all ranks to a line of metrics.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launch/training/slow_ranks.h"
#include "launch/training/step_runner.h"
#include "model/cost/flops.h"

namespace masformer {

// The results of a complete step, the same on all ranks.
struct CollectedStep {
  StepMetrics metrics;
  bool stop_requested = false;  // by a signal to any rank
  std::string note;             // on rank 0: who is slow, if that changed; else empty
};

class MetricsCollector {
 public:
  // `job` outlives the collector. Collective.
  MetricsCollector(Job& job, std::filesystem::path run_dir);

  // Starts the clock of the next step. The time of each later step begins when collect() returns.
  void start_clock() { previous_ = Clock::now(); }
  // Waits for the step that `runner` updated last, and reduces its results over all ranks. Throws
  // AgreedError if its loss or gradient norm is not finite; it says whose loss was not, and which
  // checkpoint stays. Collective.
  CollectedStep collect(const IssuedStep& step, const StepRunner& runner);

 private:
  using Clock = std::chrono::steady_clock;
  // Summed over all ranks.
  struct RankSums {
    double stop_requests = 0, waiting_seconds = 0, total_seconds = 0;
    SentByAxis sent;
    std::vector<double> busy{};  // [rank]: seconds without waits
  };
  RankSums sum_over_ranks(const IssuedStep& step);
  // FLOPs of a step over all ranks, counting the pairs that its documents and the spans show.
  double visible_flops(const PackedDocuments& documents) const;
  StepMetrics measure(const IssuedStep& step, double seconds) const;

  void check_finite(const IssuedStep& step, double loss, double norm, const StepRunner& runner);
  // Which ranks' own loss is not finite.
  std::string origin(double own_loss);
  std::string note_slow_ranks(const IssuedStep& step, const std::vector<double>& busy);

  Job& job_;
  std::filesystem::path run_dir_;
  std::vector<std::string> hosts_;  // [rank]
  SlowRanks slow_ranks_;
  SequenceFlops flops_;
  Clock::time_point previous_;
  std::int64_t peak_memory_ = 0;  // bytes, of the largest rank; known after the first step
};

}  // namespace masformer
