// Which device, how many threads and which transport a rank uses.
#pragma once

#include <cstdint>
#include <string>

#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

std::string host_name();
// Logical cores of this host, at least 1.
int host_cores();

// How many threads each op of a rank runs on (launch/plan/threads.h), by this process's
// environment.
int threads_of_rank(std::int64_t requested, int ranks_on_this_host);
// Where that number is from, in words.
std::string source_of_threads(std::int64_t requested, int ranks_on_this_host);

// Opens this rank's stream: on the CPU with runtime.threads threads, or on the device that the
// fewest other ranks use. Throws AgreedUsageError on all ranks if a device is missing or cannot
// multiply matrices of `dtype`. Collective.
Stream open_stream(const MpiSession& session, const RuntimeOptions& runtime, DType dtype);

// Opens the groups of the plan's mesh, with runtime.transport for device tensors. `stream` outlives
// them, as does `recorder`, which gets their operations if there is one. Collective.
ProcessGroups open_groups(const MpiSession& session, const RunPlan& plan, const Stream& stream,
                          const RuntimeOptions& runtime, Recorder* recorder = nullptr);

}  // namespace masformer
