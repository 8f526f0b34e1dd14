// RUN_DIR/metrics.jsonl: one JSON object a line, one line a step. docs/metrics.md describes it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>

#include "parallel/comm/sent_bytes.h"
#include "parallel/mesh.h"

namespace masformer {

// What a step sent along each axis.
class SentByAxis {
 public:
  SentBytes& operator[](Axis axis) { return bytes_[static_cast<std::size_t>(axis)]; }
  const SentBytes& operator[](Axis axis) const { return bytes_[static_cast<std::size_t>(axis)]; }

 private:
  std::array<SentBytes, all_axes.size()> bytes_{};
};

struct StepMetrics {
  std::int64_t step = 0;  // from 1
  double loss = 0;        // nats, mean over the step's predicted tokens
  double grad_norm = 0;   // before clipping
  double lr = 0;
  std::int64_t tokens = 0;  // consumed by the run so far
  double step_seconds = 0;
  double tokens_per_second = 0;
  double model_flops_per_second = 0;   // visible pairs
  double mfu = 0, mfu_dense = 0;       // shares of the devices' measured peak
  SentByAxis sent;                     // over all ranks
  std::int64_t peak_memory_bytes = 0;  // of the largest rank
  double bubble = 0;                   // measured idle share of the pipeline
  std::optional<double> eval_loss;     // where this step was evaluated
};

class MetricsWriter {
 public:
  // Goes on after step `last_step`: later lines, and a line that a crash cut off, are removed.
  // Throws Error where the file can't be written.
  MetricsWriter(std::filesystem::path path, std::int64_t last_step);

  // Appends a line; it reaches the file before this returns. Throws Error where it can't.
  void write(const StepMetrics& metrics);
  // Returns when all lines are on the disk. Throws Error where they can't get there.
  void sync() const;

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
};

}  // namespace masformer
