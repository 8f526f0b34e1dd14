// Predicts what a block with a window gains by exchanging the halo instead of gathering all keys
// and values: the blocks of the 1.3B model in bf16, from the figures of an H100 (model/cost/), with
// all ranks on one network. Nothing overlaps here, so what is hidden behind computation is gained
// less. Runs no rank.
#include <cstdint>

#include <fmt/core.h>

#include "model/cost/device_figures.h"
#include "parallel/context/context_order.h"
#include "runtime/tensor.h"
#include "tests/benchmark/arguments.h"

namespace masformer::test {
namespace {

constexpr Usage usage{R"(usage: masformer_halo_gain [SEQUENCE [WINDOW [HIDDEN]]]
  SEQUENCE  tokens of a sample (default 131072)
  WINDOW    tokens that a query sees (default 1024)
  HIDDEN    width of the keys (default 2048)
)",
                      3};

// Forward and backward of a block's products and attention on one rank, as EstimatedTimes computes
// them but for what is small.
double compute_seconds(const DeviceFigures& figures, double pairs, double queries, double width) {
  const DTypeFigures& rates = figures.of(DType::bf16);
  const double weights = 12 * width * width;
  return 6 * weights * queries / rates.product +
         4 * width * (pairs + figures.hidden_keys_forward * queries) / rates.attention_forward +
         8 * width * (pairs + figures.hidden_keys_backward * queries) / rates.attention_backward;
}

// A row of keys and values arrives in bf16 in the forward, and its gradient leaves in fp32 in the
// backward.
double bytes_of(double rows, double width) {
  return rows * 2 * width * static_cast<double>(size_of(DType::bf16) + size_of(DType::f32));
}

double exchange_seconds(const LinkFigures& link, double messages, double rows, double width) {
  return 2 * messages * link.message_seconds + bytes_of(rows, width) / link.bytes_per_second;
}

void print_row(const DeviceFigures& figures, std::int64_t sequence, int ranks, const Span& window,
               double width) {
  const auto sharding = SequenceSharding::contiguous(sequence, ranks);
  // The last rank sees most.
  const ContextWork work = work_of(sharding, {window}, ranks - 1);
  const auto all = static_cast<double>(sequence), own = static_cast<double>(sharding.rows());
  const double compute = compute_seconds(figures, static_cast<double>(work.pairs), own, width);
  fmt::print("| {} | {:.2f} |", ranks, 1e3 * compute);
  for (const LinkFigures* const link : {&figures.within_host, &figures.between_hosts}) {
    const double halo = exchange_seconds(*link, 1, static_cast<double>(work.received), width);
    const double gather = exchange_seconds(*link, ranks - 1, all - own, width);
    fmt::print(" {:.2f} | {:.2f} | {:.1f} |", 1e3 * halo, 1e3 * gather,
               (compute + gather) / (compute + halo));
  }
  fmt::print("\n");
}

void run(const Arguments& arguments) {
  const auto sequence = arguments.number<std::int64_t>(0, 131072);
  const Span window{SpanKind::window, arguments.number<std::int64_t>(1, 1024)};
  const auto width = arguments.number<double>(2, 2048);
  fmt::print(
      "| ranks | block, ms | NVLink: halo, ms | gather, ms | gain | InfiniBand: halo, ms | "
      "gather, ms | gain |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const int ranks : {8, 16, 32, 64}) {
    print_row(figures_named("h100"), sequence, ranks, window, width);
  }
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  return masformer::test::run_benchmark(argc, argv, masformer::test::usage, masformer::test::run);
}
