// How fast a whole training step of a 124-million-parameter model is, as a share of the rate of
// fp32 matrix products and of the fp32 peak, both measured beside it: sequence 1024, one sequence,
// all layers full, and 4 full with 8 of window:256, in fp32 and bf16.
//
//   masformer_step_benchmark [THREADS [STEPS]]
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "model/flops.h"
#include "runtime/ops/linear.h"
#include "runtime/peak.h"
#include "runtime/random.h"
#include "tests/benchmark/measure.h"
#include "tests/support/single_rank.h"

namespace masformer::test {
namespace {

constexpr std::int64_t sequence = 1024;

ModelConfig gpt_125m(const char* spans) {
  return {.layers = 12,
          .hidden = 768,
          .heads = 12,
          .ffn = 3072,
          .vocab = 50257,
          .positions = sequence,
          .spans = parse_spans(spans),
          .attention_scale = 0.125f};
}

// FLOP/s of the model's largest kind of product but the head's, in fp32.
double product_rate(const Stream& stream) {
  constexpr std::int64_t inputs = 768, outputs = 3072;
  Arena arena(Device::cpu, 64 << 20);
  const Tensor x = arena.take({sequence, inputs}, DType::f32);
  const Tensor weight = arena.take({outputs, inputs}, DType::f32);
  const Tensor y = arena.take({sequence, outputs}, DType::f32);
  return 2.0 * sequence * inputs * outputs /
         fastest(20, 0, [&] { linear(stream, x, weight, {}, y); });
}

// The seconds of the fastest of `steps` steps: forward, backward, norm and update.
double fastest_step(const ModelConfig& config, DType dtype, const Stream& stream, int steps) {
  const Communicators groups = alone();
  StageUnderTest under_test(config, Mesh{}, Coordinate{}, even_partition(config.layers, 1),
                            {.shape = {1, sequence}, .dtype = dtype}, gpipe(1, 1), stream, groups);
  Stage& stage = under_test.stage;
  stage.parameters().initialise(stream, 1, 0.02);
  stage.sync().publish_all();
  std::vector<std::int32_t> words;
  for (std::uint64_t i = 0; i <= sequence; ++i) {
    words.push_back(static_cast<std::int32_t>(mix(1, i) % 50257));
  }
  stage.set_micro_batch(0, words.data(), words.data() + 1, positions(1, sequence).data());
  const OptimizerConfig optimizer{.steps = steps};
  int step = 0;
  return fastest(steps, 0, [&] {
    stage.begin_training(sequence);
    execute(under_test.training, *groups.pipe, stage);
    stage.sync().finish_reduction();
    const double norm = gradient_norm(stream, stage.parameters(), *groups.world);
    update(stream, optimizer, ++step, norm, stage.parameters(), stage.sync());
  });
}

void measure(const char* spans, DType dtype, const Stream& stream, int steps) {
  const ModelConfig config = gpt_125m(spans);
  const double peak = measure_peak_flops(stream.threads(), 0.5);
  const double products = product_rate(stream);
  const double seconds = fastest_step(config, dtype, stream, steps);
  const double speed = training_flops(config, sequence, PairCount::visible) / seconds;
  fmt::print("{:<20} {:>5} {:>7.3f} {:>9.0f} {:>8.1f} {:>9.1f} {:>5.0f}% {:>7.1f} {:>5.0f}%\n",
             spans, name_of(dtype), seconds, double(sequence) / seconds, speed / 1e9,
             products / 1e9, 100 * speed / products, peak / 1e9, 100 * speed / peak);
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const Stream stream(Device::cpu, argc > 1 ? std::atoi(argv[1]) : 2);
  const int steps = argc > 2 ? std::atoi(argv[2]) : 5;
  fmt::print("124M parameters, sequence {}, {} threads, fastest of {} steps\n", test::sequence,
             stream.threads(), steps);
  fmt::print("{:<20} {:>5} {:>7} {:>9} {:>8} {:>9} {:>6} {:>7} {:>6}\n", "spans", "dtype", "s",
             "tokens/s", "GFLOP/s", "products", "share", "peak", "share");
  for (const DType dtype : {DType::f32, DType::bf16}) {
    test::measure("full*12", dtype, stream, steps);
    test::measure("full*4,window:256*8", dtype, stream, steps);
  }
}
