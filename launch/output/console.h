// What a person sees while a run goes on: one line that changes in place on a terminal, plain lines
// elsewhere. Rank 0's alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "launch/output/metrics.h"

namespace masformer {

class Console {
 public:
  // `live`: "on", "off", or "auto" for whether a person watches: MASFORMER_WATCHED, yes or no, as
  // `masformer run` sets it, else whether standard output is a terminal that is not mpirun's.
  // `every`: steps between plain lines.
  Console(const std::string& live, std::int64_t every, std::int64_t first_step,
          std::int64_t last_step);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // A live line gives way to the next, but for one that tells of an evaluation.
  void step(const StepMetrics& metrics);
  // A line of its own, which the live line does not overwrite.
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
