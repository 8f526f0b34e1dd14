// Decides and checks what each rank stores, before anything is written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/writer.h"

namespace masformer::checkpoint {

// One rank's part of a checkpoint.
struct ShardPlan {
  std::map<std::string, StoredTensor> tensors;  // with this rank's pieces only
  std::vector<std::string> datasets;            // for each piece, in order; "" for an empty one
  std::int64_t bytes = 0;                       // of the pieces' data
};

// Throws Error if a piece does not meet the requirements of writer.h.
ShardPlan plan_shard(const std::string& file, const std::vector<TensorPiece>& pieces);

// Merges all ranks' plans, given as text (manifest_text.h), into one manifest whose list of files
// is still empty. Throws Error
// if an element would be stored twice or not at all.
Manifest merge_plans(const nlohmann::json& attributes, const std::vector<std::string>& plans);

}  // namespace masformer::checkpoint
