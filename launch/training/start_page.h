// What a run prints before its first step: the plan, the data and the machine.
#pragma once

#include <string>

#include "launch/options/options.h"
#include "launch/training/job.h"
#include "launch/training/training_data.h"

namespace masformer {

struct StartFacts {
  const Options& options;
  const TrainingData& data;
  int ranks_on_this_host = 1;
  std::string layout_origin{};  // where --plan has the layout from; "" without --plan
};

// Returns lines for a person, in four groups: what is trained; what was chosen, and why; the memory
// it takes; the machine. At most 30 lines of at most 100 columns, unless paths or spans are long.
// On CPUs, times products of each dtype. Collective.
std::string start_page(Job& job, const StartFacts& facts);

// The text with each line of more than `columns` characters broken at spaces, and the rest
// indented.
std::string wrapped(const std::string& text, std::size_t columns = 100);

}  // namespace masformer
