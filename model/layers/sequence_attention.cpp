#include "model/layers/sequence_attention.h"

#include "model/layers/context_attention.h"
#include "model/layers/head_attention.h"

namespace masformer {

std::unique_ptr<SequenceAttention> make_sequence_attention(LayerSetup& setup,
                                                           const AttentionGeometry& geometry) {
  const ContextPlace& context = setup.context;
  if (is_by_heads(context.full, geometry.span, context.sharding.ranks())) {
    return std::make_unique<HeadAttention>(setup, geometry);
  }
  return std::make_unique<ContextAttention>(setup, geometry);
}

}  // namespace masformer
