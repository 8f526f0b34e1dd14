// Draws when each stage of a pipeline runs which action.
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

// An SVG document that needs no other file. A row per stage; colours tell the kinds of actions,
// lighter ones the later chunks, and the numbers are those of the micro-batches where they fit.
std::string draw_timeline(const std::string& title, int stages,
                          const std::vector<TimelineBar>& bars);

}  // namespace masformer
