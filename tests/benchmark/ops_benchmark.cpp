// Measures each op at the shapes of a model: its time, its share of the device's peak, and the
// share of a training step of one sequence that all calls of it would take at that speed. On CPUs
// the model has 124M parameters (768 wide, 1024 tokens, 12 full layers); where
// MASFORMER_TEST_DEVICE is cuda, it is that of masformer-1.3b-8k.ini. `usage` below lists the
// arguments.
#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "runtime/error.h"
#include "runtime/ops/adamw.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"
#include "runtime/peak.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"

namespace masformer {
namespace {

using test::numbers;
using test::OwnedTensor;

constexpr test::Usage usage{
    "usage: masformer_ops_benchmark [THREADS [SECONDS [DTYPE [TOKENSxHIDDENxHEADSxWORDS]]]]\n"
    "  THREADS  of the stream (2)\n"
    "  SECONDS  that each op is measured for, at least (0.5)\n"
    "  DTYPE    of activations and weights, fp32 or bf16 (fp32)\n"
    "  TOKENSxHIDDENxHEADSxWORDS\n"
    "           another model's shape, with one full and one windowed layer\n"
    "MASFORMER_TEST_DEVICE=cuda measures the CUDA device; MASFORMER_PLUGINS names its plugin's "
    "folder.\n",
    4};

struct Model {
  std::int64_t tokens, hidden, heads, words;
  std::vector<std::pair<std::string, double>> spans;  // each with its number of layers
  double parameters;

  std::int64_t vocabulary() const { return (words + 63) / 64 * 64; }  // padded
  std::int64_t ffn() const { return 4 * hidden; }
  std::int64_t head_dim() const { return hidden / heads; }
  double layers() const {
    double sum = 0;
    for (const auto& [span, count] : spans) sum += count;
    return sum;
  }
};

Model default_model() {
  if (test::device() == Device::cpu) {
    return {1024, 768, 12, 50257, {{"full", 12}, {"window:256", 0}}, 124439808};
  }
  return {8192, 2048, 16, 50257, {{"full", 8}, {"window:1024", 16}}, 1328158720};
}

// The model that TOKENSxHIDDENxHEADSxWORDS describes.
Model model_of(const std::string& shape) {
  std::vector<std::int64_t> sizes;
  for (std::size_t begin = 0; begin <= shape.size();) {
    const std::size_t end = std::min(shape.find('x', begin), shape.size());
    sizes.push_back(
        test::positive_number<std::int64_t>(std::string_view(shape).substr(begin, end - begin)));
    begin = end + 1;
  }
  if (sizes.size() != 4 || sizes[1] % sizes[2] != 0) {
    refuse("\"{}\" is not TOKENSxHIDDENxHEADSxWORDS with HIDDEN a multiple of HEADS", shape);
  }
  const std::int64_t tokens = sizes[0], hidden = sizes[1], words = sizes[3];
  const std::string window = fmt::format("window:{}", std::max<std::int64_t>(tokens / 8, 1));
  return {tokens,
          hidden,
          sizes[2],
          words,
          {{"full", 1}, {window, 1}},
          double(24 * hidden * hidden + words * hidden)};
}

class Benchmark {
 public:
  Benchmark(Model model, int threads, double seconds, DType dtype)
      : model_(std::move(model)),
        stream_(test::device(), threads),
        seconds_(seconds),
        dtype_(dtype) {
    if (const DeviceStream* const queue = stream_.device_stream()) {
      peak_ = queue->peak_flops(dtype);
      fmt::print("{}, {}; peak {:.1f} GFLOP/s\n\n", queue->name(), name_of(dtype), peak_ * 1e-9);
    } else {
      peak_ = measure_peak_flops(dtype, threads, 1.0);
      fmt::print("{} threads, {}; peak {:.1f} GFLOP/s\n\n", threads, name_of(dtype), peak_ * 1e-9);
    }
    fmt::print("{:<34}{:>10}{:>12}{:>8}\n", "op", "ms", "GFLOP/s", "peak");
  }

  const Model& model() const { return model_; }
  const Stream& stream() const { return stream_; }
  DType dtype() const { return dtype_; }  // of activations and weights

  // Measures an op that is bound by arithmetic: `flops` per run, `calls` runs per step.
  void computes(const std::string& name, double flops, double calls,
                const std::function<void()>& run) {
    const double time = measure(name, calls, run);
    fmt::print("{:<34}{:>10.3f}{:>12.1f}{:>7.1f}%\n", name, time * 1e3, flops / time * 1e-9,
               100 * flops / time / peak_);
  }

  // Measures an op that is bound by memory: `bytes` read and written per run.
  void moves(const std::string& name, std::int64_t bytes, double calls,
             const std::function<void()>& run) {
    const double time = measure(name, calls, run);
    fmt::print("{:<34}{:>10.3f}{:>12.1f} GB/s\n", name, time * 1e3, double(bytes) / time * 1e-9);
  }

  // Prints each op's share of a step, the largest first.
  void print_shares() {
    std::ranges::sort(shares_, std::ranges::greater(), &Share::seconds);
    double step = 0;
    for (const Share& share : shares_) step += share.seconds;
    fmt::print("\n{:<34}{:>10}{:>12}\n", "in a step", "ms", "share");
    for (const auto& [name, seconds] : shares_) {
      fmt::print("{:<34}{:>10.1f}{:>11.1f}%\n", name, seconds * 1e3, 100 * seconds / step);
    }
    fmt::print("{:<34}{:>10.1f}\n\n", "all", step * 1e3);
  }

 private:
  struct Share {
    std::string name;
    double seconds;
  };

  double measure(const std::string& name, double calls, const std::function<void()>& run) {
    run();
    stream_.synchronize();
    // On a device, time several calls, so that the final synchronization adds little to each.
    const int runs = test::device() == Device::cpu ? 1 : 20;
    const double time = test::fastest(3, seconds_,
                                      [&] {
                                        for (int i = 0; i < runs; ++i) run();
                                        stream_.synchronize();
                                      }) /
                        runs;
    if (calls > 0) shares_.push_back({name, calls * time});
    return time;
  }

  Model model_;
  Stream stream_;
  double seconds_;
  DType dtype_;
  double peak_ = 0;
  std::vector<Share> shares_;
};

OwnedTensor token_ids(const Model& model) {
  return test::integers(model.tokens, [&](std::int64_t t) {
    const auto words = static_cast<std::uint64_t>(model.words);
    return static_cast<std::int64_t>(mix(1, static_cast<std::uint64_t>(t)) % words);
  });
}

void measure_linear(Benchmark& b, const std::string& name, std::int64_t inputs,
                    std::int64_t outputs, double calls) {
  const std::int64_t tokens = b.model().tokens;
  const DType dtype = b.dtype();
  const OwnedTensor x = numbers({tokens, inputs}, dtype), y = numbers({tokens, outputs}, dtype);
  const OwnedTensor weight = numbers({outputs, inputs}, dtype, 0.02);
  const OwnedTensor bias = numbers({outputs}, dtype);
  const OwnedTensor dx({tokens, inputs}, dtype), dweight({outputs, inputs}), dbias({outputs});
  const double flops = 2.0 * double(tokens * inputs) * double(outputs);
  const std::string shape = fmt::format("{} {}x{}", name, inputs, outputs);
  b.computes(shape, flops, calls, [&] { linear(b.stream(), x, weight, bias, y); });
  b.computes(shape + " dx", flops, calls,
             [&] { linear_backward_input(b.stream(), y, weight, dx); });
  b.computes(shape + " dw", flops, calls,
             [&] { linear_backward_weight(b.stream(), y, x, dweight, dbias); });
}

// The MLP's products fused with GELU, to compare with "up", "down dx" and the two GELUs alone.
void measure_linear_gelu(Benchmark& b) {
  const std::int64_t tokens = b.model().tokens, hidden = b.model().hidden, ffn = b.model().ffn();
  const DType dtype = b.dtype();
  const OwnedTensor x = numbers({tokens, hidden}, dtype), up = numbers({ffn, hidden}, dtype, 0.02);
  const OwnedTensor down = numbers({hidden, ffn}, dtype, 0.02), bias = numbers({ffn}, dtype);
  const OwnedTensor before({tokens, ffn}, dtype), after({tokens, ffn}, dtype);
  const double flops = 2.0 * double(tokens * hidden) * double(ffn);
  b.computes("up and gelu", flops, 0, [&] { linear_gelu(b.stream(), x, up, bias, before, after); });
  b.computes("down dx and gelu backward", flops, 0,
             [&] { linear_backward_input_gelu(b.stream(), x, down, before, after); });
}

void measure_attention(Benchmark& b, const std::string& text, double calls) {
  const auto [tokens, heads, head_dim] =
      std::tuple(b.model().tokens, b.model().heads, b.model().head_dim());
  const Span span = parse_span(text);
  const test::AttentionRun run(tokens, heads, head_dim, b.dtype(), span);
  // Each visible pair costs two products of rows in the forward, five in the backward.
  const double product = 2.0 * double(visible_pairs(span, tokens) * heads * head_dim);
  b.computes("attention " + text, 2 * product, calls, [&] { run.forward(b.stream()); });
  b.computes("attention " + text + " backward", 5 * product, calls,
             [&] { run.backward(b.stream()); });
}

void measure_block_ops(Benchmark& b) {
  const std::int64_t tokens = b.model().tokens, hidden = b.model().hidden;
  const double layers = b.model().layers();
  const Shape narrow = {tokens, hidden}, wide = {tokens, b.model().ffn()};
  const DType dtype = b.dtype();
  const OwnedTensor x = numbers(narrow, dtype), y = numbers(narrow, dtype), dx(narrow, dtype);
  const OwnedTensor weight = numbers({hidden}, dtype), bias = numbers({hidden}, dtype);
  const OwnedTensor mean({tokens}), rstd({tokens}), dweight({hidden}), dbias({hidden});
  const Stream& stream = b.stream();
  b.moves("layer_norm", 2 * x->bytes(), 2 * layers + 1,
          [&] { layer_norm(stream, x, weight, bias, 1e-5f, y, mean, rstd); });
  b.moves("layer_norm backward", 4 * x->bytes(), 2 * layers + 1, [&] {
    layer_norm_backward(stream, {.dy = y,
                                 .x = x,
                                 .weight = weight,
                                 .mean = mean,
                                 .rstd = rstd,
                                 .residual = y,
                                 .dx = dx,
                                 .dweight = dweight,
                                 .dbias = dbias});
  });
  b.moves("add_residual", 3 * x->bytes(), 2 * layers,
          [&] { add_residual(stream, x, bias, dx, dx); });
  const OwnedTensor u = numbers(wide, dtype, 2), v = numbers(wide, dtype), w(wide, dtype);
  b.moves("gelu", 2 * u->bytes(), layers, [&] { gelu(stream, u, w); });
  b.moves("gelu backward", 3 * u->bytes(), layers, [&] { gelu_backward(stream, u, v, w); });
}

void measure_vocabulary_ops(Benchmark& b) {
  const std::int64_t tokens = b.model().tokens, hidden = b.model().hidden;
  const std::int64_t vocabulary = b.model().vocabulary();
  const OwnedTensor ids = token_ids(b.model()), x = numbers({tokens, hidden}, b.dtype());
  const OwnedTensor table = numbers({vocabulary, hidden}, b.dtype());
  const OwnedTensor dtable({vocabulary, hidden});
  const Stream& stream = b.stream();
  b.moves("embedding", 2 * x->bytes(), 2, [&] { embedding(stream, ids, table, 0, false, x); });
  b.moves("embedding backward", 3 * x->bytes(), 2,
          [&] { embedding_backward(stream, ids, x, 0, dtable); });
  const OwnedTensor logits = numbers({tokens, vocabulary}), lse({tokens});
  const OwnedTensor loss({1}, DType::f64);
  const OwnedTensor max({tokens}), sum({tokens}), target({tokens});
  const OwnedTensor dlogits({tokens, vocabulary}, b.dtype());
  const VocabularyShard shard = {0, b.model().words};
  b.moves("softmax_max", logits->bytes(), 1, [&] { softmax_max(stream, logits, shard, max); });
  b.moves("softmax_sum", logits->bytes(), 1,
          [&] { softmax_sum(stream, logits, shard, ids, max, sum, target); });
  b.moves("cross_entropy", 5 * lse->bytes(), 1,
          [&] { cross_entropy(stream, ids, max, sum, target, lse, loss); });
  b.moves("cross_entropy backward", logits->bytes() + dlogits->bytes(), 1,
          [&] { cross_entropy_backward(stream, logits, shard, ids, lse, 1e-3f, dlogits); });
}

void measure_parameter_ops(Benchmark& b) {
  // 64 MiB per tensor, if the model has that much: larger than most caches.
  const Shape shape = {static_cast<std::int64_t>(std::min(double(1 << 24), b.model().parameters))};
  const OwnedTensor gradient = numbers(shape), master = numbers(shape), m(shape), v(shape);
  const double sets = b.model().parameters / double(m->elements());
  const AdamWStep step = {.learning_rate = 1e-4f};
  const OwnedTensor total({1}, DType::f64), scale = test::filled({1}, {1.0});
  const std::vector<AdamWTensors> state{{gradient, master, m, v, 0.1f}};
  const Stream& stream = b.stream();
  b.moves("adamw", 7 * m->bytes(), sets, [&] { adamw(stream, step, scale, state); });
  b.moves("add_sum_of_squares", m->bytes(), sets,
          [&] { add_sum_of_squares(stream, {gradient}, total); });
  // A bf16 value is a rounded copy of the master.
  const OwnedTensor value(shape, b.dtype());
  b.moves("copy", m->bytes() + value->bytes(), b.dtype() == DType::bf16 ? sets : 0,
          [&] { copy(stream, master, value); });
  b.moves("fill_zero", m->bytes(), sets, [&] { fill_zero(stream, m); });
}

void measure_all(Benchmark& benchmark) {
  const Model& model = benchmark.model();
  const std::int64_t hidden = model.hidden, ffn = model.ffn();
  const double layers = model.layers();
  measure_linear(benchmark, "qkv", hidden, 3 * hidden, layers);
  measure_linear(benchmark, "projection", hidden, hidden, layers);
  measure_linear(benchmark, "up", hidden, ffn, layers);
  measure_linear(benchmark, "down", ffn, hidden, layers);
  measure_linear(benchmark, "head", hidden, model.vocabulary(), 1);
  measure_linear_gelu(benchmark);
  for (const auto& [span, count] : model.spans) measure_attention(benchmark, span, count);
  measure_block_ops(benchmark);
  measure_vocabulary_ops(benchmark);
  measure_parameter_ops(benchmark);
  benchmark.print_shares();
}

}  // namespace
}  // namespace masformer

int main(int argc, char** argv) {
  using namespace masformer;
  return test::run_benchmark(argc, argv, usage, [](const test::Arguments& arguments) {
    const std::string shape = arguments.text(3, "");
    Benchmark benchmark(shape.empty() ? default_model() : model_of(shape), arguments.number(0, 2),
                        arguments.number(1, 0.5), parse_enum<DType>(arguments.text(2, "fp32")));
    measure_all(benchmark);
  });
}
