// Measures the attention exchange of context ranks: forward and backward of one layer, S tokens
// over all ranks, with the rows that the mask shows and with all rows (what an all-gather would
// move), and without any message, which is what the computation alone takes; full layers also by
// heads. Each case runs with one document and with three, which end inside of the ranks' shares.
// The ways take turns; medians are printed. tests/support/mpirun starts the ranks.
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "model/layers/context_attention.h"
#include "model/layers/head_attention.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/process_groups.h"
#include "runtime/arena.h"
#include "tests/benchmark/arguments.h"
#include "tests/benchmark/measure.h"

namespace masformer::test {
namespace {

constexpr std::int64_t heads = 4, head_dim = 64, width = heads * head_dim;

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

// The ways to share a layer's attention: by tokens, with the rows that the mask shows or with all,
// or by heads.
enum class Way { visible_rows, all_rows, by_heads };

// Places in the sequence at which documents start; empty: no document mask.
using DocumentStarts = std::vector<std::int64_t>;

// A layer's attention, and how the sequence is shared and masked.
struct Case {
  SequenceSharding sharding;
  Span span;
  DocumentStarts starts;

  // Where the document of a position starts.
  std::int64_t first_key(std::int64_t position) const {
    return *std::prev(std::ranges::upper_bound(starts, position));
  }
};

// One rank's part of a layer's attention, with its buffers beside each other.
class SharedAttention {
 public:
  SharedAttention(const Case& c, Way way, const ProcessGroups& groups, Communicator& context)
      : groups_(groups),
        context_(context),
        registry_(Mesh{}, {}),
        shape_{1, c.sharding.rows(), width},
        attention_(make(c, way)),
        parameters_(Device::cpu, {}, DType::f32, Purpose::training),
        qkv_(numbers({1, c.sharding.rows(), 3 * width})),
        dout_(numbers(shape_)),
        out_(shape_),
        dqkv_({1, c.sharding.rows(), 3 * width}),
        lse_({1, heads, c.sharding.rows()}),
        delta_({1, heads, c.sharding.rows()}),
        first_keys_({1, c.sharding.rows()}, DType::i32),
        all_first_keys_({1, c.sharding.sequence()}, DType::i32) {
    std::int64_t bytes = 0;
    for (const BufferSpec& spec : specs_) bytes += Arena::footprint(spec.shape, spec.dtype);
    memory_ = Arena(Device::cpu, bytes);
    for (const BufferSpec& spec : specs_) buffers_.push_back(memory_.take(spec.shape, spec.dtype));
    batch_.samples = 1, batch_.sequence = c.sharding.rows();
    if (!c.starts.empty()) mask_documents(c, way);
  }

  void run(const Stream& stream) {
    LayerContext context{.stream = stream,
                         .tensor = *groups_.tensor,
                         .context = context_,
                         .parameters = parameters_,
                         .batch = batch_,
                         .buffers = buffers_};
    attention_->forward(context, qkv_, out_, lse_);
    attention_->backward(context, {qkv_, out_, lse_, dout_, delta_, dqkv_, {}});
  }

 private:
  std::unique_ptr<SequenceAttention> make(const Case& c, Way way) {
    LayerSetup setup{.config = config_,
                     .place = {0, 1, true},
                     .shape = {1, c.sharding.rows()},
                     .context = {c.sharding, context_.rank()},
                     .document_mask = !c.starts.empty(),
                     .parameters = registry_,
                     .buffers = {0, DType::f32, specs_},
                     .workspace = workspace_};
    const AttentionGeometry geometry{c.span, 0.125f, heads, head_dim};
    if (way == Way::by_heads) return std::make_unique<HeadAttention>(setup, geometry);
    const auto exchange = way == Way::all_rows ? std::optional(Exchange::everything) : std::nullopt;
    return std::make_unique<ContextAttention>(setup, geometry, exchange);
  }

  void mask_documents(const Case& c, Way way) {
    auto* const own = first_keys_->data<std::int32_t>();
    for (std::int64_t row = 0; row < c.sharding.rows(); ++row) {
      own[row] = static_cast<std::int32_t>(c.first_key(c.sharding.position(context_.rank(), row)));
    }
    auto* const all = all_first_keys_->data<std::int32_t>();
    for (std::int64_t position = 0; position < c.sharding.sequence(); ++position) {
      all[position] = static_cast<std::int32_t>(c.first_key(position));
    }
    batch_.first_keys = first_keys_;
    if (way == Way::by_heads) batch_.all_first_keys = all_first_keys_;
    batch_.document_starts = {c.starts};
  }

  const ProcessGroups& groups_;
  Communicator& context_;
  ModelConfig config_;
  ParameterRegistry registry_;
  std::vector<BufferSpec> specs_;
  std::int64_t workspace_ = 0;
  Shape shape_;
  std::unique_ptr<SequenceAttention> attention_;
  ParameterSet parameters_;
  Arena memory_;
  std::vector<Tensor> buffers_;
  MicroBatch batch_;
  OwnedTensor qkv_, dout_, out_, dqkv_, lse_, delta_, first_keys_, all_first_keys_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double sent_by_all(const ProcessGroups& groups) {
  return sum_over(*groups.world, static_cast<double>(groups.context->sent_bytes().total()));
}

void measure(Stream& stream, const ProcessGroups& groups, const Case& c, int runs) {
  Muted mute(*groups.context);
  SharedAttention visible(c, Way::visible_rows, groups, *groups.context);
  SharedAttention everything(c, Way::all_rows, groups, *groups.context);
  SharedAttention alone(c, Way::visible_rows, groups, mute);
  std::vector<SharedAttention*> kinds{&visible, &everything, &alone, &alone};
  std::optional<SharedAttention> by_heads;
  const int ranks = c.sharding.ranks();
  if (is_by_heads(ContextFull::heads, c.span, ranks) && heads % ranks == 0) {
    kinds.push_back(&by_heads.emplace(c, Way::by_heads, groups, *groups.context));
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
      c.sharding.sequence(), to_string(c.span), c.sharding.to_string(),
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
      for (const DocumentStarts& starts : {DocumentStarts{}, {0, sequence / 3, 2 * sequence / 3}}) {
        measure(stream, groups, {sharding, parse_span(span), starts}, runs);
      }
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
