// The output of a run: its folder, metrics.jsonl, events.jsonl, and lines for a person. Only rank 0
// writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "launch/options/options.h"
#include "launch/output/console.h"
#include "launch/output/events.h"
#include "launch/output/metrics.h"
#include "launch/output/run_directory.h"
#include "launch/output/tensorboard.h"
#include "parallel/comm/communicator.h"

namespace masformer {

class RunOutput {
 public:
  // Creates and locks run.dir. Throws AgreedUsageError on all ranks if it can't be written or
  // another job has locked it. `world` and `options` outlive this object. Collective.
  RunOutput(Communicator& world, const Options& options);

  // Null except on rank 0.
  const RunDirectory* directory() const { return directory_.get(); }
  // Opens the metrics, the events and the console for the steps after `step`. Records the start,
  // with `fields`, and a restart before it if the events have a start already. `table` is that of
  // the options. Collective.
  void start_after(std::int64_t step, const nlohmann::json& fields, const OptionTable& table);
  // write() adds a step's metrics; sync() returns when all of them are on the disk. Both throw
  // AgreedError on all ranks if that fails. Collective.
  void write(const StepMetrics& metrics);
  void sync();
  // Prints a line.
  void log(const std::string& text);
  // Print a line and record it as an event. That of a warning begins with "warning: ".
  void note(const std::string& text);
  void warn(const std::string& text);
  // Adds an event; on rank 0 only, elsewhere it does nothing. A run does not end because its events
  // can't be written: a line says so once.
  void record(EventKind kind, std::int64_t step, const nlohmann::json& fields);
  // The step of the last line of the metrics, or after which the run starts.
  std::int64_t step() const { return step_; }
  // Prints what was trained since start_after(), and where the last checkpoint is, if there is one.
  void summarize(const std::filesystem::path& checkpoint);

 private:
  void record_start(const nlohmann::json& fields);
  // Uses the files for TensorBoard. If that fails, a line says why, and they end: nothing else
  // depends on them.
  template <class Use>
  void try_tensorboard(Use use);

  Communicator& world_;
  const Options& options_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::optional<EventWriter> events_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
  std::unique_ptr<Console> console_;
  std::int64_t step_ = 0;
};

}  // namespace masformer
