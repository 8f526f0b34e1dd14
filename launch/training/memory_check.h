// Checks that each host and device has the memory that its ranks need.
#pragma once

#include <cstdint>
#include <string>

#include "launch/plan/run_plan.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

// Host memory that a rank takes in addition to its plan: the program, and buffers of
// MPI, HDF5 and oneDNN. It grows a little with the model. Measured: 43 to 67 MiB.
inline constexpr std::int64_t process_memory = 80 << 20;

// Compares the memory in all ranks' plans, plus an estimate for their libraries, with what is
// available now on each host and device. If one of these has too little, throws AgreedUsageError on
// all ranks, with the plan's memory table. Collective; call it before memory is allocated.
void check_memory(const RunPlan& run, const Stream& stream, const ProcessGroups& groups,
                  const StageSpec& stage, const StagePlan& plan);

// The message for a rank that could not allocate `bytes`, its planned memory, because of `cause`:
// names rank, host and stage, what is available, and the plan's memory table.
std::string allocation_failure(const RunPlan& run, Purpose purpose, const ProcessGroups& groups,
                               std::int64_t bytes, const std::string& cause);

}  // namespace masformer
