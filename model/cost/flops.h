// The model's number of parameters and of FLOPs: sums over what its layers report.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/layers/layer.h"

namespace masformer {

// The number of trainable elements. A tied head counts once; padding does not count.
std::int64_t parameter_count(const ModelConfig& config);

// Which query-key pairs count as arithmetic of attention.
enum class PairCount {
  visible,  // those that the layers' spans show
  dense,    // all S^2, as some published tables count
};

// Floating-point operations of the forward of one sequence, counted as LayerFlops says. The
// backward takes twice as many.
class SequenceFlops {
 public:
  SequenceFlops(const ModelConfig& config, std::int64_t sequence);

  double forward(PairCount count) const { return count == PairCount::dense ? dense_ : visible_; }
  // Of the visible pairs if documents are masked and start at these positions, ascending from 0.
  // Takes time linear in the sequence.
  double forward(const std::vector<std::int64_t>& document_starts) const;

 private:
  struct Attention {  // of all layers with this span
    Span span;
    double per_pair = 0;
  };

  std::int64_t sequence_;
  double products_ = 0;
  std::vector<Attention> attention_;
  double dense_ = 0, visible_ = 0;
};

// The FLOPs of a training step per FLOP of its forward.
inline constexpr double training_per_forward = 3;

double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);
// The same for forward and backward of one sequence, as in a training step.
double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

}  // namespace masformer
