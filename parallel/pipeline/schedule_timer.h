// How long a step takes under a schedule for many costs of its parts, one after another: what
// depends on the order of actions alone is worked out once. Where simulation.h lets messages wait
// for their links and their receivers, a message here only takes its time.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "parallel/pipeline/pass_seconds.h"
#include "parallel/pipeline/schedule.h"

namespace masformer {

// What the result of an action takes to the part that needs it, in seconds.
struct HandOffSeconds {
  double message = 0;  // to another stage
  double local = 0;    // a copy to another part of the stage, which computes nothing meanwhile
};

class ScheduleTimer {
 public:
  // `schedule` is valid. Throws Error if its actions wait for each other.
  ScheduleTimer(const Schedule& schedule, const HandOffSeconds& hand_off);

  // Seconds until the last stage has ended. `parts`: [part], of one micro-batch.
  double seconds(const std::vector<PassSeconds>& parts) const;

 private:
  struct Node {
    ActionKind kind;
    std::size_t part, stage;
    std::size_t source;  // the node whose result it takes, or none
    double delay = 0;    // from the end of that one
    double copy = 0;     // of its own result, on its stage
  };
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  std::vector<Node> nodes_;  // each behind those that it waits for
  std::size_t stages_;
};

// The time of a step with any number of micro-batches, from schedules of few: beyond four for each
// stage, a micro-batch adds what each of the last ones did, but at least what the slowest stage
// computes of it.
class StepTimer {
 public:
  // `make` returns the schedule for a number of micro-batches.
  StepTimer(const std::function<Schedule(int micro_batches)>& make, int stages, int micro_batches,
            const HandOffSeconds& hand_off);

  double seconds(const std::vector<PassSeconds>& parts) const;
  // Actions that seconds() goes through.
  std::size_t actions() const;

 private:
  // One timer. If `further_` is not 0, a second one for half as many micro-batches.
  std::vector<ScheduleTimer> timers_;
  int half_ = 0;     // the difference of their micro-batches
  int further_ = 0;  // micro-batches beyond those of the first
  std::size_t actions_ = 0;
  Placement placement_ = Placement::round_robin(1);
};

}  // namespace masformer
