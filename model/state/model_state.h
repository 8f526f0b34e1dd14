// Converts between a stage's parameters and the named tensors of checkpoints.
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

// What this rank stores: the rows that it owns of each tensor whose primary copy it holds. Weights
// have their own name, AdamW's moments are optimizer.m.NAME and optimizer.v.NAME. Views of the
// parameters.
std::vector<TensorPiece> training_pieces(const ParameterSet& parameters);
// The same for the summed gradients, under their weights' names.
std::vector<TensorPiece> gradient_pieces(const ParameterSet& parameters);

// Pieces in host memory, from which a checkpoint is written: views of what is there already, and
// copies of what is on the stream's device.
class HostPieces {
 public:
  HostPieces(const Stream& stream, std::vector<TensorPiece> pieces);
  const std::vector<TensorPiece>& pieces() const { return pieces_; }

 private:
  std::vector<TensorPiece> pieces_;
  Arena memory_;
};

// Throws UsageError where the checkpoint holds anything but the state of a training run, such as
// gradients.
void require_training(const CheckpointReader& checkpoint);

// Fills what this rank owns of the parameters, copies included; ParameterSync::start_all_gathers()
// brings the rest. Throws Error where a tensor is missing or has another shape.
void load_training(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);
// The same for the weights alone. Positions beyond those of the checkpoint repeat its own from the
// start, as Longformer does (Beltagy et al., arXiv 2004.05150, section 5).
void load_weights(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);

}  // namespace masformer
