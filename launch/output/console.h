// Shows a run's progress: one line updated in place on a terminal, plain lines elsewhere. Only rank
// 0 has a Console.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "launch/options/choices.h"
#include "launch/output/metrics.h"

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

  // Prints a step if it is due. A live line is overwritten by the next one, unless it shows an
  // evaluation.
  void step(const StepMetrics& metrics);
  // Prints a line of its own, which the live line does not overwrite.
  void log(const std::string& text);

 private:
  bool live_;
  bool line_open_ = false;
  std::int64_t every_, first_step_, last_step_;
  std::chrono::steady_clock::time_point begin_;  // the end of the first step
};

// "3 h 05 min", "4 min 10 s", "12 s".
std::string duration(double seconds);

}  // namespace masformer
