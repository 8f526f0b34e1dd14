#include "model/layers/norm_part.h"

#include <variant>

#include "model/layers/layer_norm_part.h"

namespace masformer {
namespace {

struct MakeNorm {
  LayerSetup& setup;
  const std::string& name;
  Pass last_reader;

  std::unique_ptr<NormPart> operator()(const LayerNormSpec& spec) const {
    return std::make_unique<LayerNormPart>(setup, spec, name, last_reader);
  }
};

}  // namespace

std::unique_ptr<NormPart> make_norm(LayerSetup& setup, const NormSpec& spec,
                                    const std::string& name, Pass last_reader) {
  return std::visit(MakeNorm{setup, name, last_reader}, spec);
}

}  // namespace masformer
