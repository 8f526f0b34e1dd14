// The layers of a block, made from its specification. This is the list of all kinds: a new
// alternative of MixerSpec or MlpSpec does not compile until it has a layer here.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/block_spec.h"
#include "model/layers/layer.h"

namespace masformer {

// Calls add(layer) for each layer of block `index` of the model, in order. setup() returns the
// LayerSetup of the next layer; it is called after the previous layer was added.
void make_block_layers(const BlockSpec& block, int index, const std::function<LayerSetup()>& setup,
                       const std::function<void(std::unique_ptr<Layer>)>& add);

}  // namespace masformer
