// Measures a training step of a 124-million-parameter model with one sequence of 1024 tokens, in
// fp32 and bf16, with full attention and with 4 full layers and 8 of window:256. Prints the fastest
// step, the median of each step's rate over that of fp32 matrix products measured just before it,
// and the peak.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "model/cost/flops.h"
#include "runtime/ops/linear.h"
#include "runtime/peak.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/benchmark/training_step.h"

namespace masformer::test {
namespace {

constexpr std::int64_t sequence = 1024;

ModelConfig gpt_125m(const char* spans) {
  return {.hidden = 768,
          .vocab = 50257,
          .positions = sequence,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 12, .scale = 0.125f},
                                    GeluMlpSpec{3072})};
}

// FLOP/s of the model's largest kind of product except the head's, in fp32.
class Products {
 public:
  double rate(const Stream& stream) const {
    const double seconds = fastest(5, 0, [&] { linear(stream, x_, weight_, {}, y_); });
    return 2.0 * sequence * inputs * outputs / seconds;
  }

 private:
  static constexpr std::int64_t inputs = 768, outputs = 3072;
  OwnedTensor x_ = numbers({sequence, inputs}), weight_ = numbers({outputs, inputs});
  OwnedTensor y_{{sequence, outputs}};
};

double median(std::vector<double> numbers) {
  std::ranges::sort(numbers);
  return numbers[numbers.size() / 2];
}

// Compares each step with the products just before it, since the speed of a shared machine changes
// from second to second. Leaves out the first step, which runs with cold caches.
void measure(const char* spans, DType dtype, const Stream& stream, int steps) {
  const ModelConfig config = gpt_125m(spans);
  const double flops = training_flops(config, sequence, PairCount::visible);
  const double peak = measure_peak_flops(dtype, stream.threads(), 0.5);
  const Products products;
  const ProcessGroups groups = alone();
  TrainingStep training(config, dtype, stream, groups);
  const auto step = [&] {
    training.compute();
    training.update_weights();
  };
  step();
  std::vector<double> seconds, rates, shares;
  for (int i = 0; i < steps; ++i) {
    rates.push_back(products.rate(stream));
    seconds.push_back(seconds_of(step));
    shares.push_back(flops / seconds.back() / rates.back());
  }
  const double best = std::ranges::min(seconds), speed = flops / best;
  fmt::print("{:<20} {:>5} {:>7.3f} {:>9.0f} {:>8.1f} {:>9.1f} {:>5.0f}% {:>7.1f} {:>5.0f}%\n",
             spans, name_of(dtype), best, double(sequence) / best, speed / 1e9, median(rates) / 1e9,
             100 * median(shares), peak / 1e9, 100 * speed / peak);
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{"usage: masformer_step_benchmark [THREADS (2) [STEPS (5)]]\n", 2};
  return test::run_benchmark(argc, argv, usage, [](const test::Arguments& arguments) {
    const Stream stream(Device::cpu, arguments.number(0, 2));
    const int steps = arguments.number(1, 5);
    fmt::print("124M parameters, sequence {}, {} threads, {} steps\n", test::sequence,
               stream.threads(), steps);
    fmt::print("{:<20} {:>5} {:>7} {:>9} {:>8} {:>9} {:>6} {:>7} {:>6}\n", "spans", "dtype", "s",
               "tokens/s", "GFLOP/s", "products", "share", "peak", "share");
    for (const DType dtype : {DType::f32, DType::bf16}) {
      test::measure("full*12", dtype, stream, steps);
      test::measure("full*4,window:256*8", dtype, stream, steps);
    }
  });
}
