// The layers that a block consists of, made from its specification. This is the one list of what
// kinds there are: a new alternative of MixerSpec or MlpSpec does not compile until it has a layer
// here.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/block_spec.h"
#include "model/layers/layer.h"

namespace masformer {

// Calls add(layer) for each layer of block `index` of the model, in order; setup() gives the next
// layer's surroundings.
void make_block_layers(const BlockSpec& block, int index, const std::function<LayerSetup()>& setup,
                       const std::function<void(std::unique_ptr<Layer>)>& add);

}  // namespace masformer
