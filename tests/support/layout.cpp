#include "tests/support/layout.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/context/context_order.h"
#include "runtime/random.h"
#include "runtime/repeated_list.h"
#include "tests/support/merge_fault.h"
#include "tests/support/schedules.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

constexpr std::int64_t vocab = 257;
constexpr std::uint64_t seed = 7;

ModelConfig config_of(const LayoutCase& c) {
  std::optional<RotaryThetas> thetas;
  if (c.positions == PositionsKind::rotary) thetas = {.full = 1000, .window = 30};
  return {.hidden = c.hidden,
          .vocab = vocab,
          .positions = c.cut_from > 0 ? c.cut_from : c.sequence,
          .blocks = blocks_of_spans(parse_spans(c.spans), {.heads = c.heads, .scale = 0.3f},
                                    GeluMlpSpec{2 * c.hidden}, {}, thetas),
          .tied = c.tied,
          .positions_kind = c.positions};
}

StagePolicy policy_of(const LayoutCase& c, const Mesh& mesh) {
  const auto layers = static_cast<int>(parse_spans(c.spans).size());
  return {
      .shape = {c.micro_batch, c.sequence},
      .sharding = make_sharding(parse_enum<ContextOrder>(c.order), c.sequence, mesh.context, {}, 1),
      .context_full = parse_enum<ContextFull>(c.full),
      .sequence_parallel = c.sequence_parallel,
      .recompute = parse_recompute(c.recompute, layers),
      .ffn_block = c.ffn_block,
      .dtype = c.dtype,
      .document_mask = !c.documents.empty()};
}

Partition partition_of(const LayoutCase& c, const Mesh& mesh) {
  const int parts = schedule_named(c.schedule, mesh.pipe, 1, c.chunks).placement.parts();
  const auto layers = static_cast<int>(parse_spans(c.spans).size());
  return make_partition(mesh.pipe == 1 ? "even" : c.partition, layers, parts);
}

std::int32_t token(int step, int sample, std::int64_t place) {
  const auto key =
      mix(mix(seed, static_cast<std::uint64_t>(step)),
          static_cast<std::uint64_t>(sample) * 1000 + static_cast<std::uint64_t>(place));
  return static_cast<std::int32_t>(key % vocab);
}

// The transport that MASFORMER_TEST_TRANSPORT names. The default is through the host, so that ranks
// may share a device.
Transport transport() {
  const char* const named = std::getenv("MASFORMER_TEST_TRANSPORT");
  return named != nullptr ? parse_enum<Transport>(named) : Transport::mpi;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const LayoutCase& c) {
  return out << c.mesh.to_string() << ", " << c.schedule
             << (c.chunks == 0 ? "" : " of " + std::to_string(c.chunks) + " chunks")
             << ", partition " << c.partition << ", " << c.samples << " samples by "
             << c.micro_batch << (c.tied ? ", tied" : ", untied")
             << (c.sequence_parallel ? ", sequence parallel" : "") << ", recompute " << c.recompute
             << ", sequence " << c.sequence << ", hidden " << c.hidden << ", spans " << c.spans
             << ", " << name_of(c.dtype) << ", " << c.order << ", positions "
             << name_of(c.positions) << ", full by " << c.full
             << (c.ffn_block == 0 ? "" : ", ffn block " + std::to_string(c.ffn_block))
             << (c.documents.empty() ? "" : ", documents ") << c.documents;
}

std::vector<std::int64_t> document_starts(const LayoutCase& c, int sample) {
  std::vector<std::int64_t> lengths;
  std::int64_t rest = c.sequence;
  for (const std::string_view entry : expand_list(c.documents, "documents", "7,5,1")) {
    lengths.push_back(*parse_count(entry));
    rest -= lengths.back();
  }
  if (rest > 0) lengths.push_back(rest);
  std::rotate(lengths.begin(), lengths.begin() + sample % std::ssize(lengths), lengths.end());
  std::vector<std::int64_t> starts{0};
  for (const std::int64_t length : lengths) starts.push_back(starts.back() + length);
  starts.pop_back();
  return starts;
}

std::int64_t predicted_tokens(const LayoutCase& c) {
  std::int64_t tokens = 0;
  for (int sample = 0; sample < c.samples; ++sample) {
    tokens += c.sequence - (c.cut_from > 0 ? 1 : 0);
    if (!c.documents.empty()) tokens -= std::ssize(document_starts(c, sample));
  }
  return tokens;
}

ProcessGroups groups_of_all_ranks(const Stream& stream, const Mesh& mesh) {
  std::vector<int> everyone;
  for (int rank = 0; rank < world().size(); ++rank) everyone.push_back(rank);
  const DeviceTransport devices{&stream, transport(), std::chrono::seconds(60)};
  return make_process_groups(make_mpi_group(world(), everyone, 1), mesh, devices);
}

LayoutRun over_all_ranks(const LayoutCase& c, const Mutation& mutation) {
  LayoutCase own = c;
  if (!mutation.spans.empty()) own.spans = mutation.spans;
  const auto make_groups = [&](const Stream& stream) {
    return groups_of_all_ranks(stream, c.mesh);
  };
  return {own, c.mesh, make_groups, mutation};
}

LayoutRun on_one_rank(const LayoutCase& c) {
  return {c, Mesh{}, [](const Stream&) { return alone(); }};
}

LayoutRun::LayoutRun(const LayoutCase& c, const Mesh& mesh, const MakeGroups& make_groups,
                     Mutation mutation)
    : case_(c),
      mesh_(mesh),
      mutation_(std::move(mutation)),
      groups_(make_groups(stream_)),
      under_test_(
          config_of(c), mesh, groups_.at, partition_of(c, mesh), policy_of(c, mesh),
          schedule_named(c.schedule, mesh.pipe, c.samples / c.micro_batch / mesh.data, c.chunks),
          stream_, groups_, mutation_.stage) {
  parameters().initialise(stream_, seed, 0.3);
  under_test_.stage.sync().start_all_gathers();
}

void LayoutRun::nudge_weights() {
  for (const Parameter& parameter : parameters()) {
    HostCopy copied(parameter.master);
    const auto* const weights = static_cast<const float*>(copied.raw());
    set(parameter.master, [&](std::int64_t i) {
      const double sign = mix(seed, static_cast<std::uint64_t>(i)) % 2 == 0 ? 1 : -1;
      return static_cast<double>(weights[i]) * (1 + sign * std::numeric_limits<float>::epsilon());
    });
  }
  under_test_.stage.sync().start_all_gathers();
}

void LayoutRun::forward_backward(int step) {
  feed(step);
  const MergesIgnoreLse fault(mutation_.merges_ignore_lse);
  under_test_.stage.begin_training(predicted_tokens(case_));
  execute(stream_, under_test_.training, *groups_.pipe, under_test_.stage);
  under_test_.stage.sync().finish_reduction();
  if (mutation_.gradients) mutation_.gradients(parameters());
  sum_squared_norm(stream_, parameters(), *groups_.world);
  norm_ = std::sqrt(scalar(stream_, parameters().squared_norm()));
  loss_ = mean_loss();
}

void LayoutRun::update_weights(int step) {
  const OptimizerConfig optimizer{.lr = 1e-3, .steps = case_.steps};
  update(stream_, optimizer, step + 1, parameters(), under_test_.stage.sync());
}

double LayoutRun::evaluate(int step) {
  feed(step);
  under_test_.stage.begin_evaluation();
  execute(stream_, under_test_.evaluation, *groups_.pipe, under_test_.stage);
  return mean_loss();
}

bool LayoutRun::copies_are_equal() {
  const auto shared = under_test_.stage.spec().shared_table;
  if (!shared) return true;
  const Tensor table = parameters()[*shared].master;
  HostCopy copied(table);
  const std::string bits(static_cast<const char*>(copied.raw()),
                         static_cast<std::size_t>(table.bytes()));
  return std::ranges::all_of(groups_.embedding->all_gather(bits),
                             [&](const std::string& copy) { return copy == bits; });
}

double LayoutRun::mean_loss() {
  const double own = groups_.at.tensor == 0 ? under_test_.stage.loss_sum() : 0.0;
  return sum_over(*groups_.world, own) / double(predicted_tokens(case_));
}

void LayoutRun::feed(int step) {
  const int own = case_.samples / mesh_.data;
  const int micro_batches = own / case_.micro_batch;
  for (int m = 0; m < micro_batches; ++m) {
    const int fed = mutation_.micro_batch ? mutation_.micro_batch(m) : m;
    Batch batch;
    for (int i = 0; i < case_.micro_batch; ++i) {
      append(step, groups_.at.data * own + fed * case_.micro_batch + i, batch);
    }
    under_test_.stage.set_micro_batch(
        m, {batch.tokens.data(), batch.labels.data(), batch.positions.data(),
            case_.documents.empty() ? nullptr : batch.first_keys.data(), batch.document_starts});
  }
}

void LayoutRun::append(int step, int sample, Batch& batch) const {
  const bool masked = !case_.documents.empty();
  std::vector<std::int64_t> starts{0};
  if (masked) starts = document_starts(case_, sample);
  std::vector<std::int64_t> of_mask = starts;
  if (mutation_.document_starts) mutation_.document_starts(of_mask);
  const auto start_of = [](const std::vector<std::int64_t>& all, std::int64_t place) {
    return *std::prev(std::ranges::upper_bound(all, place));
  };
  const SequenceSharding& sharding = stage().spec().sharding;
  for (std::int64_t row = 0; row < sharding.rows(); ++row) {
    const std::int64_t place = sharding.position(groups_.at.context, row);
    const bool last = place + 1 == case_.sequence || start_of(starts, place + 1) == place + 1;
    const bool predicts = !last || (!masked && case_.cut_from == 0);
    const std::int64_t at = case_.cut_at + place;
    batch.tokens.push_back(token(step, sample, at));
    batch.labels.push_back(predicts ? token(step, sample, at + 1) : -1);
    const std::int64_t position =
        mutation_.position ? mutation_.position(row, place) : place - start_of(starts, place);
    batch.positions.push_back(static_cast<std::int32_t>(position));
    batch.first_keys.push_back(static_cast<std::int32_t>(start_of(of_mask, place)));
  }
  if (masked) batch.document_starts.push_back(of_mask);
}

}  // namespace masformer::test
