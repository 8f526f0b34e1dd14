// What a person sees of a run: on a terminal one line that changes in place, elsewhere plain lines.
// Only rank 0 has one.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "launch/options/choices.h"
#include "launch/output/metrics.h"

namespace masformer {

class Console {
 public:
  // `automatic` asks whether a person watches, which `masformer run` tells by setting
  // MASFORMER_WATCHED to yes or no; without it, whether standard output is a terminal and not
  // mpirun's. `every`: steps between plain lines.
  Console(LiveLine live, std::int64_t every, std::int64_t first_step, std::int64_t last_step);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // A live line is overwritten by the next, unless it shows an evaluation.
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
