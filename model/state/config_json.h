// The model as a checkpoint's attribute "model" describes it to other programs
// (docs/checkpoint-format.md).
#pragma once

#include <nlohmann/json.hpp>

#include "model/config.h"

namespace masformer {

// Throws Error for blocks that differ in more than their spans: the format has no words for them.
nlohmann::json to_json(const ModelConfig& config);

// A key that came after the first checkpoints has its default where it is missing. Throws Error
// where the rest is missing or of another type.
ModelConfig model_from_json(const nlohmann::json& model);

}  // namespace masformer
