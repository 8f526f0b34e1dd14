// How a run starts: new, from another run's weights, or from a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launch/output/run_directory.h"
#include "launch/training/job.h"
#include "parallel/checkpoint/checkpoint.h"

namespace masformer {

struct ResumeState {
  std::int64_t step = 0;                     // steps done
  std::vector<std::string> notes, warnings;  // for the user, a line each
};

// The attributes that a checkpoint keeps for the trainer.
nlohmann::json checkpoint_attributes(const OptionTable& table, const Job& job, std::int64_t step,
                                     const std::string& data_digest);

// Removes what an interrupted save left in the run's folder. Initializes or loads this rank's shard
// of the parameters, as checkpoint.resume and checkpoint.init say. Sets aside what the folder holds
// beyond the step of the start. `directory` is rank 0's. Throws AgreedUsageError if data or options
// changed that must stay the same, and AgreedError if the checkpoint to resume from is damaged or
// can't be read. Collective.
ResumeState start_run(Job& job, const Options& options, const OptionTable& table,
                      const RunDirectory* directory, const std::string& data_digest);

}  // namespace masformer
