// Times each kind of layer of a run on its own device, before the run is planned (plan.profile).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "launch/training/profile_cache.h"
#include "model/cost/measured_times.h"
#include "parallel/comm/mpi/communicator.h"

namespace masformer {

// Runs a stage of about as many blocks as those of `plan` have, with each kind of block, on all
// ranks at once: with the tensor and context ranks of the plan, and its stages as further data
// ranks. Forward and backward of one micro-batch are timed as train.profile_step times them, 3 to
// 15 times, as many as two seconds allow, after one that does not count; once with each way of
// recomputation. Takes the medians, and the mean over all ranks, so that every rank has the same
// bytes.
//
// Rank 0 keeps the result in profile_folder() and takes it from there if device, threads, ranks per
// host, layout, shapes and the built program are the same. `log` gets a line that says which.
// Throws AgreedUsageError if the memory is too small. Collective.
MeasuredTimes profile_layers(const MpiSession& session, const Options& options, const RunPlan& plan,
                             const std::function<void(const std::string&)>& log);

// What profile_layers() would take from there for a job with these ranks; nothing if it would have
// to measure. `rank`: the first.
std::optional<MeasuredTimes> cached_profile(const ProfiledRank& rank, const Options& options,
                                            const RunPlan& plan);

}  // namespace masformer
