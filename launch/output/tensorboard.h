// RUN_DIR/tensorboard: the metrics in files that TensorBoard reads. docs/metrics.md describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "launch/output/metrics.h"

namespace masformer {

class TensorBoardWriter {
 public:
  // Starts a file for the steps after `last_step`. What earlier files hold of these steps is cut
  // off, together with what follows a damaged record; a TensorBoard that has read it is told to
  // drop it. `options`: their names and values, to be shown as a text. Throws Error if the folder
  // can't be written.
  TensorBoardWriter(std::filesystem::path folder, std::int64_t last_step,
                    const std::map<std::string, std::string>& options);

  // Appends every number of the step's line in metrics.jsonl, under the keys that lead to it,
  // joined by "/": "loss", "sent_bytes/tensor". Throws Error if that fails.
  void write(const StepMetrics& metrics);

  const std::filesystem::path& path() const { return path_; }

 private:
  void append(const std::string& records);

  std::filesystem::path path_;
  std::ofstream stream_;
};

}  // namespace masformer
