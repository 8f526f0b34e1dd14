// How evenly the orders of context ranks share the attention of the 1.3B model's mixes of spans:
// what the slowest rank of each layer costs, summed over layers, over an even share of the visible
// pairs. Costs are those that `auto` decides with (parallel/context/context_order.h); received rows
// count in them, so 1 is out of reach. With a token store, also for the packed documents of its
// first windows, by visible pairs alone. Runs no rank.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "data/loader.h"
#include "model/cost/layer_times.h"
#include "parallel/context/context_order.h"
#include "parallel/context/sequence_mask.h"
#include "tests/benchmark/arguments.h"

namespace masformer::test {
namespace {

constexpr Usage usage{R"(usage: masformer_context_balance [SEQUENCE [RANKS [STORE [WINDOWS]]]]
  SEQUENCE  tokens of a sample (default 8192)
  RANKS     context ranks (default 4)
  STORE     a token store whose documents are masked (default: none)
  WINDOWS   how many windows of it (default 64)
)",
                      4};

const std::vector<std::string> mixes{"full*24", "window:1024*24", "full*8,window:1024*16",
                                     "full,window:256*23", "full*12,block:512*12"};

double sum_of(const SequenceSharding& sharding, auto cost) {
  double sum = 0;
  for (int rank = 0; rank < sharding.ranks(); ++rank) sum += cost(rank);
  return sum;
}

double largest_of(const SequenceSharding& sharding, auto cost) {
  double largest = 0;
  for (int rank = 0; rank < sharding.ranks(); ++rank) largest = std::max(largest, cost(rank));
  return largest;
}

double slowest_over_share(const SequenceSharding& sharding, const std::vector<Span>& spans) {
  const auto layers = context_layers(spans, ContextFull::ring);
  double pairs = 0;
  for (const ContextLayer& layer : layers) {
    pairs += sum_of(sharding, [&](int rank) { return work_of(sharding, layer, rank).cost(0); });
  }
  return cost_of(sharding, layers, pairs_per_row(figures_of(Device::cuda), DType::bf16)) *
         sharding.ranks() / pairs;
}

double slowest_over_share(const SequenceSharding& sharding, const std::vector<Span>& spans,
                          const std::vector<std::vector<std::int64_t>>& samples) {
  double slowest = 0, all = 0;
  for (const auto& starts : samples) {
    for (const Span& span : spans) {
      const SequenceMask mask(span, {starts});
      const auto pairs = [&](int rank) {
        std::int64_t count = 0;
        for (const Segment& segment : sharding.segments(rank))
          count += mask.pairs(segment.positions);
        return static_cast<double>(count);
      };
      slowest += largest_of(sharding, pairs);
      all += sum_of(sharding, pairs);
    }
  }
  return slowest * sharding.ranks() / all;
}

// Prints a line for each mix; `measure(sharding, spans)` gives its numbers.
template <class Measure>
void print_table(const std::string& title, std::int64_t sequence, int ranks,
                 const Measure& measure) {
  fmt::print("{}\n\n| spans | contiguous | zigzag | auto | auto's order |\n", title);
  fmt::print("| --- | --- | --- | --- | --- |\n");
  for (const std::string& mix : mixes) {
    const std::vector<Span> spans = parse_spans(mix);
    const auto sharding = [&](std::optional<ContextOrder> order) {
      return make_sharding(order, sequence, ranks, {context_layers(spans, ContextFull::ring)},
                           pairs_per_row(figures_of(Device::cuda), DType::bf16));
    };
    const SequenceSharding chosen = sharding({});
    fmt::print("| {} | {:.3f} | {:.3f} | {:.3f} | {} |\n", mix,
               measure(sharding(ContextOrder::contiguous), spans),
               measure(sharding(ContextOrder::zigzag), spans), measure(chosen, spans),
               chosen.to_string());
  }
  fmt::print("\n");
}

void run(const Arguments& arguments) {
  const auto sequence = arguments.number<std::int64_t>(0, 8192);
  const int ranks = arguments.number<int>(1, 4);
  print_table(fmt::format("{} tokens on {} ranks", sequence, ranks), sequence, ranks,
              [](const SequenceSharding& sharding, const std::vector<Span>& spans) {
                return slowest_over_share(sharding, spans);
              });
  if (arguments.size() < 3) return;
  const TokenStore store(arguments.text(2, ""));
  const Split split(store, SplitKind::all, 0);
  Window window = whole_window(sequence);
  window.document_mask = true;
  PackedDocuments packed;
  const std::int64_t windows =
      std::min(arguments.number<std::int64_t>(3, 64), window_count(split.tokens(), sequence));
  for (std::int64_t i = 0; i < windows; ++i) packed.add(split, window, i);
  std::size_t documents = 0;
  for (const auto& starts : packed.starts) documents += starts.size();
  print_table(fmt::format("the same with documents masked: {} windows, {:.1f} documents each",
                          windows, static_cast<double>(documents) / static_cast<double>(windows)),
              sequence, ranks,
              [&](const SequenceSharding& sharding, const std::vector<Span>& spans) {
                return slowest_over_share(sharding, spans, packed.starts);
              });
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  return masformer::test::run_benchmark(argc, argv, masformer::test::usage, masformer::test::run);
}
