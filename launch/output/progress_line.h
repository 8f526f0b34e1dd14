// A step in one line of text, and the time that is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "launch/output/metrics.h"

namespace masformer {

// How long a step takes now: the mean of the last ones, with what happens between steps.
class StepPace {
 public:
  // A step ended at `now`, in seconds of any clock.
  void add(double now);
  // Nothing before the second step: the first one of a process is slower than the others.
  std::optional<double> seconds_per_step() const;

 private:
  std::deque<double> ends_;  // of the last steps
};

struct Progress {
  std::int64_t last_step = 0;      // of the run
  std::optional<double> held_out;  // the held-out loss to show
  double seconds_left = 0;
};

// "step 10/1000  loss 2.3456  held-out 2.4567  12.3k tokens/s  41% of peak  1.2 GiB  3h05m left".
// Where that is longer than `columns`, words are shortened, spaces go, and at last the fields that
// matter least. Fields that a run does not have are left out: the bubble of a single stage, or a
// held-out loss.
std::string progress_line(const StepMetrics& metrics, const Progress& progress,
                          std::size_t columns = 80);

// Four characters or less, and the unit: "999", "12.3k", "1.23M"; "nan" and "inf".
std::string short_number(double value);
// "512 B", "1.2 MiB", "79.9 GiB", "2000 GiB".
std::string short_bytes(std::int64_t bytes);
// "12s", "4m10s", "3h05m", "4d04h"; rounded up.
std::string short_duration(double seconds);
// "12 s", "4 min 10 s", "3 h 05 min".
std::string duration(double seconds);

}  // namespace masformer
