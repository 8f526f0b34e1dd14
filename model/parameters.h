// The trainable tensors of one rank: declared as plain data, then held in arenas.
//
// A stored matrix may hold several logical tensors as ranges of its rows (q, k and v are one
// product); checkpoints and other formats see the logical ones alone.
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
  Hyperslab slab;              // this rank's part of it; without padding
  std::int64_t first_row = 0;  // where it starts in the stored matrix
};

struct ParameterSpec {
  Shape shape;  // as stored on this rank, padding included
  std::vector<LogicalTensor> tensors;
  Initial initial = Initial::zeros;
  bool decay = false;  // weight decay; none on norms and biases
  // The stored rows whose summed gradient, master and moments this rank of the data axis holds
  // (ZeRO-1, Rajbhandari et al., arXiv 1910.02054): each row stands on one of them.
  ShardRange owned;
  // Whether each tensor rank has the gradient of its own tokens alone: their sum is the gradient.
  bool partial = false;
  // Whether the owned rows are the ones that count: for the gradient norm, and for checkpoints.
  bool primary = true;
};

using ParameterId = std::size_t;

// Parameters [begin, end).
struct ParameterRange {
  ParameterId begin = 0;
  ParameterId end = 0;
};

// The part of a logical tensor that lies in the owned rows; may be empty.
struct OwnedPart {
  Hyperslab slab;              // in the global tensor
  std::int64_t first_row = 0;  // among the owned rows
};

OwnedPart owned_part(const ParameterSpec& declaration, const LogicalTensor& tensor);

enum class Purpose : std::uint8_t { training, evaluation };

struct Parameter {
  ParameterSpec declaration;
  Tensor value;     // what layers compute with: fp32 or bf16
  Tensor gradient;  // fp32; micro-batches add to it in their order
  // Of the owned rows, fp32: what the optimizer updates and checkpoints hold. A view of the value
  // where that is fp32.
  Tensor master;
  Tensor m, v;  // AdamW's moments

  // The rows of value or gradient that a logical tensor takes.
  Tensor rows(const Tensor& stored, const LogicalTensor& tensor) const;
  // The rows of value or gradient that this rank owns.
  Tensor owned(const Tensor& stored) const;
  // The rows of master, m or v that a logical tensor takes.
  Tensor owned_rows(const Tensor& stored, const LogicalTensor& tensor) const;
};

// What a set of parameters takes, in bytes. Masters are 0 where they are views of the values.
struct ParameterMemory {
  std::int64_t values = 0, gradients = 0, masters = 0, moments = 0;
};

ParameterMemory parameter_memory(const std::vector<ParameterSpec>& declarations, DType dtype,
                                 Purpose purpose);

// What of checkpoints stands in host memory at once on its way from a device or to it, in bytes:
// all that a rank saves, which are masters and moments of the owned rows that count, and nothing
// where it evaluates; or, where that is more, the largest tensor that it loads.
std::int64_t checkpoint_memory(const std::vector<ParameterSpec>& declarations, Purpose purpose);

class ParameterSet {
 public:
  // Allocates and zeroes everything; for evaluation the weights alone, every rank owning all rows,
  // and the other tensors are empty. `dtype`: of the values, fp32 or bf16.
  ParameterSet(Device device, std::vector<ParameterSpec> declarations, DType dtype,
               Purpose purpose);

  Parameter& operator[](ParameterId id) { return parameters_[id]; }
  const Parameter& operator[](ParameterId id) const { return parameters_[id]; }
  std::size_t size() const { return parameters_.size(); }
  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }

  // The masters: every element a pure function of (seed, tensor's name, its place in the global
  // tensor), so that no layout changes the start: normal numbers times `deviation`, zeros, or ones.
  void initialise(const Stream& stream, std::uint64_t seed, double deviation);
  // All gradients as one tensor: what is zeroed at once.
  Tensor gradients() const { return all_gradients_; }
  // Those of the partial parameters, which stand together: what is summed over tensor ranks at
  // once.
  Tensor partial_gradients() const { return partial_gradients_; }
  // [1] fp64 and [1] fp32, for the optimizer.
  Tensor squared_norm() const { return squared_norm_; }
  Tensor clip_factor() const { return clip_factor_; }
  // What was taken for all this.
  ParameterMemory memory() const {
    return {values_.used(), gradients_.used(), masters_.used(), moments_.used()};
  }

 private:
  // Gives the parameters that are partial, or the others, their gradients; returns them together.
  Tensor take_gradients(bool partial);

  Arena values_, masters_, gradients_, moments_;
  Tensor all_gradients_, partial_gradients_;
  Tensor squared_norm_, clip_factor_;
  std::vector<Parameter> parameters_;
};

// Makes declarations for the rank at one coordinate of a mesh. The ranks of the tensor axis hold
// equal parts of what is split, and copies of the rest.
class ParameterRegistry {
 public:
  ParameterRegistry(const Mesh& mesh, const Coordinate& at) : mesh_(mesh), at_(at) {}

  // One matrix [rows, columns] a name, stacked, each split by rows (column-parallel weights and
  // their biases; a matrix of no columns is a vector). Rows are padded to `padded_rows`.
  ParameterId split_rows(const std::vector<std::string>& names, std::vector<std::int64_t> shape,
                         Initial initial, std::int64_t padded_rows = 0);
  // Split by columns: row-parallel weights.
  ParameterId split_columns(const std::string& name, std::vector<std::int64_t> shape);
  // A copy on every tensor rank.
  ParameterId replicated(const std::string& name, std::vector<std::int64_t> shape, Initial initial);
  // Marks a parameter whose gradient is to be summed over the tensor axis.
  void mark_partial(ParameterId id) { declarations_[id].partial = true; }
  // Marks a parameter as the copy of one that another stage holds.
  void mark_copy(ParameterId id) { declarations_[id].primary = false; }

  const Coordinate& at() const { return at_; }
  const std::vector<ParameterSpec>& declarations() const { return declarations_; }

 private:
  ParameterId add(ParameterSpec declaration, bool split);

  Mesh mesh_;
  Coordinate at_;
  std::vector<ParameterSpec> declarations_;
};

}  // namespace masformer
