// RUN_DIR/metrics.jsonl: one JSON object per line, one line per step. docs/metrics.md describes it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "parallel/comm/sent_bytes.h"
#include "parallel/mesh.h"

namespace masformer {

// The bytes that a step sent along each axis.
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
  double model_flops_per_second = 0;  // visible pairs
  double mfu = 0,
         mfu_dense = 0;  // fractions of peak FLOP/s: measured on CPUs, from the data sheet on CUDA
  SentByAxis sent;       // over all ranks
  std::int64_t peak_memory_bytes = 0;  // largest over all ranks
  double bubble = 0;                   // measured idle share of the pipeline
  std::optional<double> eval_loss;     // if this step was evaluated
};

// The keys and values of a step's line, in their order.
nlohmann::ordered_json to_json(const StepMetrics& metrics);

class MetricsWriter {
 public:
  // Continues the file after step `last_step`: keeps one line for each step up to it, and removes
  // later, repeated and damaged lines. Throws Error if the file can't be written.
  MetricsWriter(std::filesystem::path path, std::int64_t last_step);

  // For the user: how many old lines were kept and dropped, and which steps have none. Empty if
  // every step had one line, in order.
  const std::string& note() const { return note_; }
  // How many old lines were of steps after `last_step`.
  std::int64_t lost_steps() const { return lost_steps_; }

  // Appends a line and writes it to the file before it returns. Throws Error if that fails.
  void write(const StepMetrics& metrics);
  // Returns when all lines are on the disk. Throws Error if that fails.
  void sync() const;

 private:
  std::filesystem::path path_;
  std::string note_;
  std::int64_t lost_steps_ = 0;
  std::ofstream stream_;
};

}  // namespace masformer
