// What a run prints before its first step: the plan, the data and the machine.
#pragma once

#include <string>

#include "launch/options/options.h"
#include "launch/training/job.h"
#include "launch/training/training_data.h"

namespace masformer {

// Returns lines for a person. On CPUs, times products of each dtype. Collective.
std::string start_page(Job& job, const Options& options, const TrainingData& data);

}  // namespace masformer
