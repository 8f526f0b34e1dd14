// Training steps of a model as the trainer makes them, with one sequence per data rank.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/optimizer.h"
#include "runtime/random.h"
#include "tests/support/single_rank.h"

namespace masformer::test {

class TrainingStep {
 public:
  // A sequence has as many tokens as the model has positions. `change` may alter the specification.
  TrainingStep(const ModelConfig& config, DType dtype, const Stream& stream,
               const ProcessGroups& groups, const Mesh& mesh = {},
               const std::function<void(StageSpec&)>& change = {})
      : stream_(stream),
        groups_(groups),
        sequence_(config.positions),
        under_test_(config, mesh, groups.at, even_partition(config.layers(), mesh.pipe),
                    {.shape = {1, sequence_}, .dtype = dtype}, gpipe(mesh.pipe, 1), stream, groups,
                    change) {
    stage().parameters().initialise(stream, 1, 0.02);
    stage().sync().start_all_gathers();
    std::vector<std::int32_t> words;
    for (std::int64_t i = 0; i <= sequence_; ++i) {
      words.push_back(static_cast<std::int32_t>(mix(1, static_cast<std::uint64_t>(i)) %
                                                static_cast<std::uint64_t>(config.vocab)));
    }
    stage().set_micro_batch(0, {words.data(), words.data() + 1, positions(1, sequence_).data()});
  }

  // Forward and backward.
  void compute() {
    stage().begin_training(sequence_ * groups_.replicas->size());
    execute(stream_, under_test_.training, *groups_.pipe, stage());
  }

  void update_weights() {
    stage().sync().finish_reduction();
    sum_squared_norm(stream_, stage().parameters(), *groups_.world);
    update(stream_, {.steps = 1000}, ++steps_, stage().parameters(), stage().sync());
  }

  Stage& stage() { return under_test_.stage; }

 private:
  const Stream& stream_;
  const ProcessGroups& groups_;
  std::int64_t sequence_;
  StageUnderTest under_test_;
  int steps_ = 0;
};

}  // namespace masformer::test
