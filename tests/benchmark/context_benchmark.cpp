// Measures the attention exchange of context ranks: forward and backward of one layer, S tokens
// over all ranks, with the rows that the mask shows and with all rows (what an all-gather would
// move), and without any message, which is what the computation alone takes; full layers also by
// heads. Each case runs with one document and with three, which end inside of the ranks' shares.
// The ways take turns; medians are printed. tests/support/mpirun starts the ranks.
#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "parallel/comm/mpi/communicator.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"
#include "tests/support/shared_attention.h"

namespace masformer::test {
namespace {

constexpr std::int64_t heads = 4, head_dim = 64;

// A context group whose messages never leave and never arrive.
class Muted final : public Communicator {
 public:
  explicit Muted(const Communicator& group) : group_(group) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  Request all_reduce(Tensor, Reduction) override { return {}; }
  Request reduce_scatter(Tensor) override { return {}; }
  Request all_gather(Tensor) override { return {}; }
  Request broadcast(Tensor, int) override { return {}; }
  Request send(Tensor, int) override { return {}; }
  Request receive(Tensor, int) override { return {}; }
  std::vector<std::string> all_gather(const std::string& text) override { return {text}; }
  void barrier() override {}
  GroupTraits traits() const override { return {}; }
  SentBytes sent_bytes() const override { return {}; }
  std::int64_t working_memory() const override { return 0; }

 private:
  const Communicator& group_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double sent_by_all(const ProcessGroups& groups) {
  return sum_over(*groups.world, static_cast<double>(groups.context->sent_bytes().total()));
}

void fill(SharedAttention& attention) {
  for (const OwnedTensor* const tensor : {&attention.qkv, &attention.dout}) {
    copy(Stream(Device::cpu), numbers((*tensor)->shape()), *tensor);
  }
}

void measure(Stream& stream, const ProcessGroups& groups, const AttentionCase& c, int runs) {
  Muted mute(*groups.context);
  SharedAttention visible(c, Sharing::visible_rows, groups, *groups.context);
  SharedAttention everything(c, Sharing::all_rows, groups, *groups.context);
  SharedAttention alone(c, Sharing::visible_rows, groups, mute);
  for (SharedAttention* const each : {&visible, &everything, &alone}) fill(*each);
  std::vector<SharedAttention*> kinds{&visible, &everything, &alone, &alone};
  std::optional<SharedAttention> by_heads;
  const int ranks = c.sharding.ranks();
  if (is_by_heads(ContextFull::heads, c.geometry.span, ranks) && heads % ranks == 0) {
    kinds.push_back(&by_heads.emplace(c, Sharing::by_heads, groups, *groups.context));
    fill(*by_heads);
  }
  std::vector<std::vector<double>> seconds(kinds.size());
  std::vector<double> bytes(kinds.size());
  for (int run = 0; run < runs; ++run) {
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      const double before = sent_by_all(groups);
      groups.world->barrier();
      seconds[kind].push_back(seconds_of([&] {
        kinds[kind]->run(stream);
        groups.world->barrier();
      }));
      bytes[kind] = sent_by_all(groups) - before;
    }
  }
  if (groups.world->rank() != 0) return;
  const double seen = median(seconds[0]), gathered = median(seconds[1]);
  const double computed = median(seconds[2]), again = median(seconds[3]);
  const bool has_heads = by_heads.has_value();
  fmt::print(
      "| {} | {} | {} | {} | {:.3f} | {:.3f} | {} | {:.1f} | {:.1f} | {} | {:.1f} | {:.1f}% | "
      "{:.1f}% "
      "|\n",
      c.sharding.sequence(), to_string(c.geometry.span), c.sharding.to_string(),
      std::max<std::size_t>(c.starts.size(), 1), bytes[0] / 1e6, bytes[1] / 1e6,
      has_heads ? fmt::format("{:.3f}", bytes[4] / 1e6) : "-", 1e3 * seen, 1e3 * gathered,
      has_heads ? fmt::format("{:.1f}", 1e3 * median(seconds[4])) : "-", 1e3 * computed,
      100 * computed / seen, 100 * computed / again);
}

void measure_all(Stream& stream, const ProcessGroups& groups, std::int64_t longest,
                 std::int64_t longest_full, int runs) {
  const int ranks = groups.context->size();
  if (groups.world->rank() == 0) {
    fmt::print("{} ranks with {} thread(s), {} heads of {}, fp32, medians of {}\n\n", ranks,
               stream.threads(), heads, head_dim, runs);
    fmt::print(
        "| S | span | order | documents | MB sent | MB, all rows | MB, by heads | ms | ms, all "
        "rows | ms, by "
        "heads | ms, no messages | efficiency | the same twice |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  }
  for (std::int64_t sequence = 1024; sequence <= longest; sequence *= 4) {
    for (const char* const span : {"window:256", "window:1024", "full"}) {
      const bool full = span == std::string_view("full");
      if (full && sequence > longest_full) continue;
      const auto sharding = full ? SequenceSharding::zigzag(sequence, ranks)
                                 : SequenceSharding::contiguous(sequence, ranks);
      const AttentionGeometry geometry{parse_span(span), 0.125f, heads, heads, head_dim};
      measure(stream, groups, {sharding, geometry}, runs);
      measure(stream, groups, {sharding, geometry, {0, sequence / 3, 2 * sequence / 3}}, runs);
    }
  }
}

}  // namespace
}  // namespace masformer::test

int main(int argc, char** argv) {
  using namespace masformer;
  const test::Usage usage{
      "usage: masformer_context_benchmark [LONGEST S (16384) [RUNS (5) [THREADS (1) [LONGEST S OF "
      "FULL LAYERS (as the first)]]]]\n",
      4};
  return test::run_benchmark(argc, argv, usage, [&](const test::Arguments& arguments) {
    const auto longest = arguments.number<std::int64_t>(0, 16384);
    const int runs = arguments.number(1, 5), threads = arguments.number(2, 1);
    const auto longest_full = arguments.number<std::int64_t>(3, longest);
    const MpiSession session(&argc, &argv);
    auto world = session.world();
    const Mesh mesh{.context = world->size()};
    const ProcessGroups groups = make_process_groups(std::move(world), mesh);
    Stream stream(Device::cpu, threads);
    stream.set_poll([&] { groups.world->progress(); });
    test::measure_all(stream, groups, longest, longest_full, runs);
  });
}
