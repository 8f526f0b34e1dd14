// The trainable tensors of one rank: specified as plain data, then held in arenas.
//
// A stored matrix may hold several logical tensors as ranges of its rows: q, k and v are one
// matrix, because they are one product. Checkpoints and other formats only know logical tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "parallel/sharding.h"
#include "runtime/arena.h"
#include "runtime/stream.h"

namespace masformer {

enum class Initial : std::uint8_t { normal, zeros, ones };

struct LogicalTensor {
  std::string name;  // as in Hugging Face's GPT-Neo
  std::vector<std::int64_t> global_shape;
  Hyperslab slab;              // this rank's part, without padding
  std::int64_t first_row = 0;  // in the stored matrix
};

struct ParameterSpec {
  Shape shape;  // as stored on this rank, padding included
  std::vector<LogicalTensor> tensors;
  Initial initial = Initial::zeros;
  bool decay = false;  // weight decay: matrices only, not norms and biases
  // The stored rows that this rank owns: it holds their summed gradient, master and AdamW moments.
  // Each row is owned by one of the replicas (ZeRO-1, Rajbhandari et al., arXiv 1910.02054).
  ShardRange owned;
  // Whether each tensor rank computes the gradient of its own tokens only, so that the gradients
  // must be summed over the tensor axis.
  bool partial = false;
  // Whether this copy of the owned rows is the one that enters the gradient norm and checkpoints.
  bool primary = true;
};

using ParameterId = std::size_t;

// Parameters [begin, end).
struct ParameterRange {
  ParameterId begin = 0;
  ParameterId end = 0;
};

// The part of a logical tensor in the owned rows; may be empty.
struct OwnedPart {
  Hyperslab slab;              // in the global tensor
  std::int64_t first_row = 0;  // among the owned rows
};

OwnedPart owned_part(const ParameterSpec& spec, const LogicalTensor& tensor);

enum class Purpose : std::uint8_t { training, evaluation };

struct Parameter {
  ParameterSpec spec;
  Tensor value;     // what layers compute with: fp32 or bf16
  Tensor gradient;  // fp32; micro-batches add to it in order
  // The owned rows in fp32, which the optimizer updates and checkpoints store. A view of the value
  // if that is fp32.
  Tensor master;
  Tensor m, v;  // AdamW's moments of the owned rows

  // The rows of a logical tensor in value or gradient.
  Tensor rows(const Tensor& stored, const LogicalTensor& tensor) const;
  // The owned rows of value or gradient.
  Tensor owned(const Tensor& stored) const;
  // The rows of a logical tensor in master, m or v.
  Tensor owned_rows(const Tensor& stored, const LogicalTensor& tensor) const;
};

// Memory of a set of parameters in bytes. Masters are 0 if they are views of the values.
struct ParameterMemory {
  std::int64_t values = 0, gradients = 0, masters = 0, moments = 0;
};

// The offsets of a set's tensors, in bytes from the start of the arena of their kind.
struct ParameterLayout {
  struct Offsets {
    std::int64_t value = 0, gradient = 0, master = 0, m = 0, v = 0;
  };
  std::vector<Offsets> parameters;
  std::int64_t squared_norm = 0, clip_factor = 0;  // among the moments
  std::int64_t partial_gradients = 0;              // bytes; they are the first of the gradients
  ParameterMemory memory;
};

// `dtype`: of the values, fp32 or bf16. For evaluation, every rank owns all rows, and there are no
// gradients and moments.
ParameterLayout lay_out_parameters(const std::vector<ParameterSpec>& specs, DType dtype,
                                   Purpose purpose);

// Host memory that a device rank needs for checkpoints, in bytes: the maximum of what it saves at
// once (masters and moments of the primary owned rows; nothing if it only evaluates) and of the
// largest tensor that it loads.
std::int64_t checkpoint_memory(const std::vector<ParameterSpec>& specs, Purpose purpose);

class ParameterSet {
 public:
  // Allocates all tensors as lay_out_parameters() says, and fills them with zeros.
  ParameterSet(Device device, std::vector<ParameterSpec> specs, DType dtype, Purpose purpose);

  Parameter& operator[](ParameterId id) { return parameters_[id]; }
  const Parameter& operator[](ParameterId id) const { return parameters_[id]; }
  std::size_t size() const { return parameters_.size(); }
  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }

  // Fills the masters with normal numbers times `deviation`, zeros, or ones. Every element is a
  // pure function of seed, tensor name and index in the global tensor, so all layouts begin alike.
  void initialise(const Stream& stream, std::uint64_t seed, double deviation);
  // All gradients as one tensor, to set them to zero at once.
  Tensor gradients() const { return all_gradients_; }
  // The gradients of the partial parameters, which are adjacent in memory, to sum them over the
  // tensor axis at once.
  Tensor partial_gradients() const { return partial_gradients_; }
  // [1] fp64 and [1] fp32: scratch of the optimizer.
  Tensor squared_norm() const { return squared_norm_; }
  Tensor clip_factor() const { return clip_factor_; }
  // The memory that was allocated.
  ParameterMemory memory() const {
    return {values_.capacity(), gradients_.capacity(), masters_.capacity(), moments_.capacity()};
  }

 private:
  Arena values_, masters_, gradients_, moments_;
  Tensor all_gradients_, partial_gradients_;
  Tensor squared_norm_, clip_factor_;
  std::vector<Parameter> parameters_;
};

// Layers register their parameters here. It makes the specifications for the rank at one coordinate
// of a mesh. Tensor ranks hold equal parts of the split parameters, and copies of the others.
class ParameterRegistry {
 public:
  ParameterRegistry(const Mesh& mesh, const Coordinate& at) : mesh_(mesh), at_(at) {}

  // Column-parallel weights and their biases: one tensor of `shape` per name, each split by rows,
  // stored one below the other. `shape` is [rows, columns], or [rows] for a vector. Rows are padded
  // to `padded_rows`.
  ParameterId split_rows(const std::vector<std::string>& names, std::vector<std::int64_t> shape,
                         Initial initial, std::int64_t padded_rows = 0);
  // Row-parallel weights: split by columns.
  ParameterId split_columns(const std::string& name, std::vector<std::int64_t> shape);
  // A copy on every tensor rank.
  ParameterId replicated(const std::string& name, std::vector<std::int64_t> shape, Initial initial);
  // Marks a parameter whose gradient must be summed over the tensor axis.
  void mark_partial(ParameterId id) { specs_[id].partial = true; }
  // Marks a parameter as a copy: another stage holds the primary one.
  void mark_copy(ParameterId id) { specs_[id].primary = false; }

  const Coordinate& at() const { return at_; }
  const std::vector<ParameterSpec>& specs() const { return specs_; }

 private:
  ParameterId add(ParameterSpec spec, bool split);

  Mesh mesh_;
  Coordinate at_;
  std::vector<ParameterSpec> specs_;
};

}  // namespace masformer
