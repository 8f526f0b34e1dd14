// Shows a run's progress: one line updated in place on a terminal, plain lines elsewhere. Only rank
// 0 has a Console.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "launch/options/choices.h"
#include "launch/output/metrics.h"
#include "launch/output/progress_line.h"

namespace masformer {

class Console {
 public:
  // `automatic`: use the live line if MASFORMER_WATCHED (set by `masformer run`) is yes. If it is
  // not set, use the live line if standard output is a terminal and mpirun did not start this
  // process. `every`: steps between plain lines.
  Console(LiveLine live, std::int64_t every, std::int64_t first_step, std::int64_t last_step);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Prints a step if it is due. A live line is overwritten by the next one, unless it is of a step
  // that was evaluated; it shows the last held-out loss, a plain line only that of its own step.
  void step(const StepMetrics& metrics);
  // Prints a line of its own, which the live line does not overwrite.
  void log(const std::string& text);
  // What this process has trained so far, in lines for the end of a run; empty before a step.
  std::string summary() const;

 private:
  using Clock = std::chrono::steady_clock;

  bool live_;
  bool line_open_ = false;
  std::int64_t every_, first_step_, last_step_;
  Clock::time_point begin_ = Clock::now();
  StepPace pace_;
  std::optional<StepMetrics> last_;  // the last step
  std::optional<double> held_out_;   // the last held-out loss, of step evaluated_
  std::int64_t evaluated_ = 0;
  double step_seconds_ = 0;  // of all steps together, without what is between them
};

}  // namespace masformer
