#include "model/state/model_state.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/ops/elementwise.h"

namespace masformer {
namespace {

constexpr const char* position_table = "transformer.wpe.weight";

// `owned`: the rows that this rank owns, of master, m or v.
void add_piece(std::vector<TensorPiece>& pieces, const std::string& prefix,
               const Parameter& parameter, const Tensor& owned, const LogicalTensor& tensor) {
  pieces.push_back({prefix + tensor.name, tensor.global_shape,
                    owned_part(parameter.spec, tensor).slab, parameter.owned_rows(owned, tensor)});
}

void check_shape(const Manifest& manifest, const std::string& name,
                 const std::vector<std::int64_t>& wanted) {
  const auto found = manifest.tensors.find(name);
  require(found != manifest.tensors.end(), "the checkpoint has no tensor {}", name);
  require(found->second.shape == wanted, "{} has shape {} in the checkpoint, but {} in this model",
          name, Shape(found->second.shape), Shape(wanted));
}

// Reads tensors of a checkpoint into memory of the host or, through a buffer there, of the stream's
// device.
class TensorLoader {
 public:
  TensorLoader(const Stream& stream, CheckpointReader& checkpoint)
      : stream_(stream), checkpoint_(checkpoint) {}

  const Manifest& manifest() const { return checkpoint_.manifest(); }

  void read(const std::string& name, const Hyperslab& slab, const Tensor& to) {
    if (to.device() == Device::cpu) return checkpoint_.read(name, slab, to);
    std::vector<float> buffer(static_cast<std::size_t>(to.elements()));
    const Tensor on_host(buffer.data(), to.shape(), DType::f32, Device::cpu);
    checkpoint_.read(name, slab, on_host);
    copy(stream_, on_host, to);
  }

 private:
  const Stream& stream_;
  CheckpointReader& checkpoint_;
};

void load(TensorLoader& checkpoint, const std::string& prefix, const Parameter& parameter,
          const Tensor& owned, const LogicalTensor& tensor) {
  check_shape(checkpoint.manifest(), prefix + tensor.name, tensor.global_shape);
  checkpoint.read(prefix + tensor.name, owned_part(parameter.spec, tensor).slab,
                  parameter.owned_rows(owned, tensor));
}

// Fills `table` (the rows of the position table from row `first` on) from the checkpoint's position
// table. If the checkpoint has fewer positions, its rows repeat from the start.
void load_positions(TensorLoader& checkpoint, std::int64_t first, Tensor table) {
  const auto found = checkpoint.manifest().tensors.find(position_table);
  require(found != checkpoint.manifest().tensors.end(), "the checkpoint has no tensor {}",
          position_table);
  const std::vector<std::int64_t>& stored = found->second.shape;
  require(stored.size() == 2 && stored[0] > 0 && stored[1] == table.dim(1),
          "{} has shape {} in the checkpoint, but {} in this model", position_table, Shape(stored),
          table.shape());
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < table.dim(0); row += count) {
    const std::int64_t from = (first + row) % stored[0];
    count = std::min(stored[0] - from, table.dim(0) - row);
    checkpoint.read(position_table, {{from, 0}, {count, stored[1]}}, table.slice(0, row, count));
  }
}

}  // namespace

std::vector<TensorPiece> training_pieces(const ParameterSet& parameters) {
  std::vector<TensorPiece> pieces;
  for (const Parameter& parameter : parameters) {
    if (!parameter.spec.primary) continue;
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      add_piece(pieces, "", parameter, parameter.master, tensor);
      add_piece(pieces, "optimizer.m.", parameter, parameter.m, tensor);
      add_piece(pieces, "optimizer.v.", parameter, parameter.v, tensor);
    }
  }
  return pieces;
}

std::vector<TensorPiece> gradient_pieces(const ParameterSet& parameters) {
  std::vector<TensorPiece> pieces;
  for (const Parameter& parameter : parameters) {
    if (!parameter.spec.primary) continue;
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      add_piece(pieces, "", parameter, parameter.owned(parameter.gradient), tensor);
    }
  }
  return pieces;
}

HostPieces::HostPieces(const Stream& stream, std::vector<TensorPiece> pieces)
    : pieces_(std::move(pieces)) {
  if (stream.device() == Device::cpu) return;
  std::int64_t bytes = 0;
  for (const TensorPiece& piece : pieces_) {
    bytes += Arena::footprint(piece.data.shape(), piece.data.dtype());
  }
  memory_ = Arena(Device::cpu, bytes);
  for (TensorPiece& piece : pieces_) {
    const Tensor on_host = memory_.take(piece.data.shape(), piece.data.dtype());
    copy(stream, piece.data, on_host);
    piece.data = on_host;
  }
}

void require_training(const CheckpointReader& checkpoint) {
  const std::string kind = checkpoint.manifest().attributes.value("kind", "something else");
  if (kind == "training") return;
  refuse("{} holds {}, not the state of a training run", checkpoint.directory().string(), kind);
}

void load_training(const Stream& stream, CheckpointReader& reader, ParameterSet& parameters) {
  TensorLoader checkpoint(stream, reader);
  for (const Parameter& parameter : parameters) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      load(checkpoint, "", parameter, parameter.master, tensor);
      load(checkpoint, "optimizer.m.", parameter, parameter.m, tensor);
      load(checkpoint, "optimizer.v.", parameter, parameter.v, tensor);
    }
  }
}

void load_weights(const Stream& stream, CheckpointReader& reader, ParameterSet& parameters) {
  TensorLoader checkpoint(stream, reader);
  for (const Parameter& parameter : parameters) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      if (tensor.name == position_table) {
        load_positions(checkpoint, parameter.spec.owned.begin, parameter.master);
      } else {
        load(checkpoint, "", parameter, parameter.master, tensor);
      }
    }
  }
}

}  // namespace masformer
