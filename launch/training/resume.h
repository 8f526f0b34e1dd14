// Where a run begins: anew, from another run's weights, or where it was stopped.
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
  std::int64_t step = 0;           // steps that are done
  std::vector<std::string> notes;  // for a person
};

// What a checkpoint keeps for the trainer, under "attributes".
nlohmann::json checkpoint_attributes(const OptionTable& table, const Job& job, std::int64_t step,
                                     const std::string& data_digest);

// Fills what this rank owns of the stage's parameters as checkpoint.resume and checkpoint.init say,
// and sets aside what stands in the run's folder beyond that step. `directory` is rank 0's. Throws
// UsageError where options changed that may not, or the data did; Error where the named checkpoint
// is damaged. Collective.
ResumeState start_run(Job& job, const Options& options, const OptionTable& table,
                      const RunDirectory* directory, const std::string& data_digest);

}  // namespace masformer
