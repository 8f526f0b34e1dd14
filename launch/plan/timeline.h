// Draws when each stage of a pipeline runs which action: predicted steps, and measured ones
// (launch/report/measured_step.h).
#pragma once

#include <string>
#include <vector>

#include "parallel/pipeline/schedule.h"

namespace masformer {

struct TimelineBar {
  int stage = 0;
  double begin = 0, end = 0;  // seconds
  Action action;
};

struct Timeline {
  std::string title;
  int stages = 1;
  std::vector<TimelineBar> bars{};
  double step_end = 0;  // seconds; rows end there, at a line. 0: unknown
};

// An SVG document that needs no other file: the timelines one above the other, on one scale of
// time. A row per stage; colours tell the kinds of actions, lighter ones the later chunks, and the
// numbers are those of the micro-batches where they fit. Gaps are waits. Its colours follow the
// reader's choice of a light or a dark page, where the viewer knows it.
std::string draw_timelines(const std::vector<Timeline>& timelines);

}  // namespace masformer
