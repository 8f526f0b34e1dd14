// The attribute "model" of a checkpoint, which describes the model to other programs
// (docs/resuming.md).
#pragma once

#include <nlohmann/json.hpp>

#include "model/config.h"

namespace masformer {

// Throws Error for blocks that differ in more than their spans and the thetas of these: the format
// can't describe them.
nlohmann::json to_json(const ModelConfig& config);

// Keys that older checkpoints lack have defaults. Throws Error if another key is missing, or if one
// has the wrong type.
ModelConfig model_from_json(const nlohmann::json& model);

}  // namespace masformer
