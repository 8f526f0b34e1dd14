// Between a stage's parameters and the named tensors of checkpoints.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/config.h"
#include "model/parameters.h"
#include "parallel/checkpoint/checkpoint.h"

namespace masformer {

// The rows that this rank owns of the tensors whose counting copy it holds: weights by their name,
// and AdamW's moments as optimizer.m.NAME and optimizer.v.NAME. Views of the parameters.
std::vector<TensorPiece> training_pieces(const ParameterSet& parameters);
// The same of the summed gradients, by their weights' names.
std::vector<TensorPiece> gradient_pieces(const ParameterSet& parameters);

// Pieces in host memory, as a checkpoint is written from: views of what is there already, copies of
// what is on the stream's device.
class HostPieces {
 public:
  HostPieces(const Stream& stream, std::vector<TensorPiece> pieces);
  const std::vector<TensorPiece>& pieces() const { return pieces_; }

 private:
  std::vector<TensorPiece> pieces_;
  Arena memory_;
};

// Throws UsageError where the checkpoint holds anything but a training run's state: a gradient
// dump.
void require_training(const CheckpointReader& checkpoint);

// Fill what this rank owns of the parameters, copies included; ParameterSync::start_all_gathers()
// brings the rest. Throw Error where a tensor is missing or has another shape.
void load_training(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);
// Weights alone. Positions beyond those of the checkpoint repeat its own from the start, as
// Longformer does (Beltagy et al., arXiv 2004.05150, section 5).
void load_weights(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);

// The model, as a checkpoint's attribute "model" tells it to other programs.
nlohmann::json to_json(const ModelConfig& config);
// Throws Error where the attribute is missing or not such.
ModelConfig model_from_json(const nlohmann::json& model);

}  // namespace masformer
