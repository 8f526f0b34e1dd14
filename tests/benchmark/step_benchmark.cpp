// How fast a whole training step of a 124-million-parameter model is, as a share of the measured
// fp32 peak: sequence 1024, one sequence, all layers full, and 4 full with 8 of window:256.
//
//   masformer_step_benchmark [THREADS [STEPS]]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "model/flops.h"
#include "runtime/peak.h"
#include "runtime/random.h"
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

// The seconds of the fastest of `steps` steps: forward, backward, norm and update.
double fastest_step(const ModelConfig& config, const Stream& stream, int steps) {
  const Communicators groups = alone();
  StageUnderTest under_test(config, Mesh{}, Coordinate{}, even_partition(config.layers, 1),
                            {.shape = {1, sequence}}, gpipe(1, 1), stream, groups);
  Stage& stage = under_test.stage;
  stage.parameters().initialise(stream, 1, 0.02);
  std::vector<std::int32_t> words;
  for (std::uint64_t i = 0; i <= sequence; ++i) {
    words.push_back(static_cast<std::int32_t>(mix(1, i) % 50257));
  }
  stage.set_micro_batch(0, words.data(), words.data() + 1, positions(1, sequence).data());
  const OptimizerConfig optimizer{.steps = steps};
  double fastest = 1e9;
  for (int step = 1; step <= steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    stage.begin_training(sequence);
    execute(under_test.training, *groups.pipe, stage);
    stage.sync().finish_reduction();
    const double norm = gradient_norm(stream, stage.parameters(), *groups.world);
    update(stream, optimizer, step, norm, stage.parameters(), stage.sync());
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    fastest = std::min(fastest, passed.count());
  }
  return fastest;
}

void measure(const char* spans, const Stream& stream, int steps) {
  const ModelConfig config = gpt_125m(spans);
  const double peak = measure_peak_flops(stream.threads(), 0.5);
  const double seconds = fastest_step(config, stream, steps);
  const double speed = training_flops(config, sequence, PairCount::visible) / seconds;
  fmt::print("{:<24} {:>10.3f} {:>10.0f} {:>10.1f} {:>10.1f} {:>7.1f}%\n", spans, seconds,
             double(sequence) / seconds, speed / 1e9, peak / 1e9, 100 * speed / peak);
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const Stream stream(Device::cpu, argc > 1 ? std::atoi(argv[1]) : 2);
  const int steps = argc > 2 ? std::atoi(argv[2]) : 5;
  fmt::print("124M parameters, sequence {}, {} threads, fastest of {} steps\n", test::sequence,
             stream.threads(), steps);
  fmt::print("{:<24} {:>10} {:>10} {:>10} {:>10} {:>8}\n", "spans", "s", "tokens/s", "GFLOP/s",
             "peak", "share");
  test::measure("full*12", stream, steps);
  test::measure("full*4,window:256*8", stream, steps);
}
