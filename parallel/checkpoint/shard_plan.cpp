#include "parallel/checkpoint/shard_plan.h"

#include <algorithm>
#include <set>

#include <fmt/ranges.h>

#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/manifest_text.h"
#include "runtime/error.h"

namespace masformer::checkpoint {
namespace {

using Tensors = std::map<std::string, StoredTensor>;

void check_name(const std::string& name) {
  const auto bad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' '; };
  require(!name.empty() && name != "." && std::none_of(name.begin(), name.end(), bad),
          "\"{}\" can't name a tensor: '/' and control characters are not allowed", name);
}

void check_piece(const TensorPiece& piece) {
  check_name(piece.name);
  require(checked_elements(piece.global_shape).has_value(), "{}: [{}] is not a shape", piece.name,
          fmt::join(piece.global_shape, ", "));
  require(lies_in(piece.slab, piece.global_shape), "{}: {} is not inside [{}]", piece.name,
          to_string(piece.slab), fmt::join(piece.global_shape, ", "));
  if (piece.slab.elements() == 0) return;
  require(piece.data.dtype() == DType::f32 && piece.data.device() == Device::cpu,
          "{}: the data is {} on {}, but a checkpoint stores fp32 from the CPU", piece.name,
          name_of(piece.data.dtype()), name_of(piece.data.device()));
  require(piece.data && piece.data.shape() == Shape(piece.slab.shape),
          "{}: the data has shape {}, but the piece has shape [{}]", piece.name, piece.data.shape(),
          fmt::join(piece.slab.shape, ", "));
  require(piece.data.contiguous(), "{}: the data has gaps, but must be contiguous", piece.name);
}

// Returns the entry of a tensor. Throws Error unless all pieces give the same global shape.
StoredTensor& entry(Tensors& tensors, const std::string& name,
                    const std::vector<std::int64_t>& shape) {
  StoredTensor& known = tensors.try_emplace(name, StoredTensor{shape, {}}).first->second;
  require(known.shape == shape, "pieces of {} give different global shapes: [{}] and [{}]", name,
          fmt::join(known.shape, ", "), fmt::join(shape, ", "));
  return known;
}

// Gives each piece of a shard a data set of its own.
class DatasetNames {
 public:
  // Returns the tensor's name, with a suffix if that name is taken.
  std::string next(const std::string& tensor) {
    int& copy = copies_.try_emplace(tensor, 1).first->second;
    std::string name = "/" + tensor;
    if (copy == 1 && taken_.insert(name).second) return name;
    do {
      name = fmt::format("/{}~{}", tensor, ++copy);
    } while (!taken_.insert(name).second);
    return name;
  }

 private:
  std::set<std::string> taken_;
  std::map<std::string, int> copies_;  // by tensor, the last suffix that was tried
};

}  // namespace

ShardPlan plan_shard(const std::string& file, const std::vector<TensorPiece>& pieces) {
  ShardPlan plan;
  DatasetNames names;
  for (const TensorPiece& piece : pieces) {
    check_piece(piece);
    StoredTensor& tensor = entry(plan.tensors, piece.name, piece.global_shape);
    std::string& dataset = plan.datasets.emplace_back();
    if (piece.slab.elements() == 0) continue;
    dataset = names.next(piece.name);
    tensor.pieces.push_back({file, dataset, piece.slab});
    plan.bytes += piece.data.bytes();
  }
  return plan;
}

Manifest merge_plans(const nlohmann::json& attributes, const std::vector<std::string>& plans) {
  Manifest manifest;
  if (!attributes.is_null()) manifest.attributes = attributes;
  require(manifest.attributes.is_object(), "a checkpoint's attributes must be an object, not {}",
          attributes.type_name());
  for (const std::string& plan : plans) {
    for (const auto& [name, tensor] : parse_tensors(plan)) {
      std::vector<StoredPiece>& all = entry(manifest.tensors, name, tensor.shape).pieces;
      all.insert(all.end(), tensor.pieces.begin(), tensor.pieces.end());
    }
  }
  check_cover(manifest.tensors);
  return manifest;
}

}  // namespace masformer::checkpoint
