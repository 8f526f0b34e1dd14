// The output of a run: its folder, metrics.jsonl, and lines for a person. Only rank 0 writes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "launch/options/options.h"
#include "launch/output/console.h"
#include "launch/output/metrics.h"
#include "launch/output/run_directory.h"
#include "parallel/comm/communicator.h"

namespace masformer {

class RunOutput {
 public:
  // Creates and locks run.dir. Throws AgreedUsageError on all ranks if it can't be written or
  // another job has locked it. `world` and `options` outlive this object. Collective.
  RunOutput(Communicator& world, const Options& options);

  // Null except on rank 0.
  const RunDirectory* directory() const { return directory_.get(); }
  // Opens the metrics and the console for the steps after `step`. Collective.
  void start_after(std::int64_t step);
  // write() adds a step's metrics; sync() returns when all of them are on the disk. Both throw
  // AgreedError on all ranks if that fails. Collective.
  void write(const StepMetrics& metrics);
  void sync();
  // Prints a line.
  void log(const std::string& text);

 private:
  Communicator& world_;
  const Options& options_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<Console> console_;
};

}  // namespace masformer
