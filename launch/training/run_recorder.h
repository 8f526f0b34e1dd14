// A rank's recorder in a training run: where its file is, and what is left of it in the run's
// folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "parallel/comm/communicator.h"
#include "parallel/mesh.h"
#include "parallel/recorder.h"

namespace masformer {

// While a run lasts, the recordings of its ranks on this host are the files in this folder whose
// names start with this text and the rank's number: in memory if the host has /dev/shm, else among
// the temporary files.
struct LiveRecordings {
  explicit LiveRecordings(const std::filesystem::path& run_dir);

  std::filesystem::path folder;
  std::string prefix;

  std::string prefix_of(int rank) const;
};

// Where a rank's recording is afterwards: RUN_DIR/recordings/rank-00003.bin.
std::filesystem::path kept_recording(const std::filesystem::path& run_dir, int rank);

class RunRecorder {
 public:
  // A run is not refused for want of a recorder: if the file can't be made, there is none, and a
  // line on standard error says why.
  RunRecorder(int rank, const Mesh& mesh, std::filesystem::path run_dir);
  // Removes the recording. If keep() was called, a copy stays in the run's folder, also if the run
  // failed.
  ~RunRecorder();
  RunRecorder(const RunRecorder&) = delete;
  RunRecorder& operator=(const RunRecorder&) = delete;

  Recorder* get() { return recorder_ ? &*recorder_ : nullptr; }

  // Makes the times of all ranks those of one clock, the system's clock of rank 0, whatever the
  // hosts' own clocks say. `host`: the name of this rank's; hosts of one name are told apart by
  // when they started. Collective, with or without a recorder.
  void align_clocks(Communicator& world, const std::string& host);

  // Call it when the run begins: a job that is refused must not replace the recordings of the last
  // one. Removes what killed jobs of the same run left; rank 0 removes recordings of ranks that the
  // run had before and has no more, whose own ranks can't replace them.
  void keep();

 private:
  int rank_, ranks_;
  std::filesystem::path run_dir_;
  std::optional<LiveRecordings> live_;
  std::optional<Recorder> recorder_;
  bool kept_ = false;
};

}  // namespace masformer
