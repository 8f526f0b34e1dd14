// How long the layers of a stage take: the interface, and the source that estimates it from what
// layers report and from a device's figures.
#pragma once

#include <string_view>

#include "model/cost/device_figures.h"
#include "model/stage_spec.h"
#include "parallel/pipeline/pass_seconds.h"

namespace masformer {

class LayerTimes {
 public:
  virtual ~LayerTimes() = default;

  // Of one layer of a stage, for one micro-batch on the slowest of the context ranks, exchanges
  // between ranks included. `layer` is its index in the stage. The layer's recomputation is part of
  // backward_input.
  virtual PassSeconds of(const StageSpec& stage, int layer) const = 0;

  // What the times are, for a sentence: "the cost model".
  virtual std::string_view source() const = 0;
};

// An estimate:
//
//   product    call + FLOPs / rate + bytes of the three matrices / rate of streaming
//   attention  call + 4 W (visible pairs + hidden keys x queries) / rate, backwards twice that
//   other ops  bytes / rate of streaming
//   exchange   messages x latency + bytes / rate of the link
//
// W is the width of this rank's heads. Nothing overlaps. Neighbours on the tensor axis have
// adjacent numbers, and those on the context axis follow (parallel/mesh.h). Documents within a
// sample are not known beforehand, so pairs are those of whole sequences.
class EstimatedTimes final : public LayerTimes {
 public:
  // `full`: how the context ranks share full layers.
  explicit EstimatedTimes(const DeviceFigures& figures, ContextFull full = ContextFull::ring)
      : figures_(&figures), full_(full) {}

  PassSeconds of(const StageSpec& stage, int layer) const override;
  std::string_view source() const override { return "the cost model"; }

 private:
  double seconds(const StageSpec& stage, const Layer& layer, Pass pass) const;
  double attention(const StageSpec& stage, const LayerFlops& flops, bool backward) const;

  const DeviceFigures* figures_;
  ContextFull full_;
};

// How many (query, key) pairs of attention a rank computes while it receives a row of keys and
// values, over forward and backward: what the order of tokens over context ranks is chosen by
// (parallel/context/context_order.h).
double pairs_per_row(const DeviceFigures& figures, DType dtype);

// The time of a product by these figures.
double product_seconds(const DeviceFigures& figures, DType dtype, const MatrixProduct& product);

}  // namespace masformer
