#include "model/layers/block_layers.h"

#include <variant>

#include "model/layers/attention_layer.h"
#include "model/layers/mlp_layer.h"

namespace masformer {
namespace {

struct MakeLayer {
  LayerSetup setup;
  const NormSpec& norm;
  int index;

  std::unique_ptr<Layer> operator()(const AttentionSpec& spec) const {
    return std::make_unique<AttentionLayer>(setup, spec, norm, index);
  }
  std::unique_ptr<Layer> operator()(const GeluMlpSpec& spec) const {
    return std::make_unique<MlpLayer>(setup, spec, norm, index);
  }
};

}  // namespace

void make_block_layers(const BlockSpec& block, int index, const std::function<LayerSetup()>& setup,
                       const std::function<void(std::unique_ptr<Layer>)>& add) {
  add(std::visit(MakeLayer{setup(), block.norm, index}, block.mixer));
  add(std::visit(MakeLayer{setup(), block.norm, index}, block.mlp));
}

}  // namespace masformer
