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

// The pieces that this rank saves: the rows that it owns of each primary tensor. Weights are saved
// under their own names, AdamW's moments as optimizer.m.NAME and optimizer.v.NAME. The pieces are
// views of the parameters.
std::vector<TensorPiece> training_pieces(const ParameterSet& parameters);
// The same for the summed gradients, under their weights' names.
std::vector<TensorPiece> gradient_pieces(const ParameterSet& parameters);

// Pieces in host memory, for writing a checkpoint. On CPU streams they are the given views. Other
// streams copy them from the device, because a checkpoint is written from host memory.
class HostPieces {
 public:
  HostPieces(const Stream& stream, std::vector<TensorPiece> pieces);
  const std::vector<TensorPiece>& pieces() const { return pieces_; }

 private:
  std::vector<TensorPiece> pieces_;
  Arena memory_;
};

// Throws UsageError unless the checkpoint holds the state of a training run; it could hold
// gradients instead.
void require_training(const CheckpointReader& checkpoint);

// Loads the rows that this rank owns, of primary parameters and of copies.
// ParameterSync::start_all_gathers() fetches the other rows. Throws Error if a tensor is missing or
// has another shape.
void load_training(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);
// The same for weights only. If the model has more positions than the checkpoint, those of the
// checkpoint repeat, as in Longformer (Beltagy et al., arXiv 2004.05150, section 5).
void load_weights(const Stream& stream, CheckpointReader& checkpoint, ParameterSet& parameters);

}  // namespace masformer
