#include "tests/support/layout.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "parallel/mpi_communicator.h"
#include "runtime/error.h"
#include "runtime/random.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

constexpr std::int64_t vocab = 257;
constexpr std::uint64_t seed = 7;

ModelConfig config_of(const LayoutCase& c) {
  const std::vector<Span> spans = parse_spans(c.spans);
  return {.layers = static_cast<int>(spans.size()),
          .hidden = c.hidden,
          .heads = c.heads,
          .ffn = 2 * c.hidden,
          .vocab = vocab,
          .positions = c.sequence,
          .spans = spans,
          .attention_scale = 0.3f,
          .tied = c.tied};
}

StagePolicy policy_of(const LayoutCase& c) {
  const auto layers = static_cast<int>(parse_spans(c.spans).size());
  return {.shape = {c.micro_batch, c.sequence},
          .sequence_parallel = c.sequence_parallel,
          .recompute = parse_recompute(c.recompute, layers),
          .dtype = c.dtype};
}

Partition partition_of(const LayoutCase& c, const Mesh& mesh) {
  const auto layers = static_cast<int>(parse_spans(c.spans).size());
  return make_partition(mesh.pipe == 1 ? "even" : c.partition, layers, mesh.pipe);
}

std::int32_t token(int step, int sample, std::int64_t place) {
  const auto key =
      mix(mix(seed, static_cast<std::uint64_t>(step)),
          static_cast<std::uint64_t>(sample) * 1000 + static_cast<std::uint64_t>(place));
  return static_cast<std::int32_t>(key % vocab);
}

LayoutRun on_one_rank(const LayoutCase& c) {
  return {c, Mesh{}, [](const Stream&) { return alone(); }};
}

// What is compared of a parameter: this rank's rows of its fp32 master or of its summed gradient.
enum class What { master, gradient };

Tensor owned_rows(const Parameter& parameter, What what) {
  return what == What::master ? parameter.master : parameter.owned(parameter.gradient);
}

using Floats = std::vector<float>;

Floats floats(const Tensor& contiguous) {
  HostCopy copied(contiguous);
  const auto* const begin = static_cast<const float*>(copied.raw());
  return {begin, begin + contiguous.elements()};
}

// The part of the oracle's whole tensor that `slab` names.
Floats part_of(const ParameterSet& oracle, What what, const std::string& name,
               const Hyperslab& slab) {
  for (const Parameter& parameter : oracle) {
    for (const LogicalTensor& tensor : parameter.declaration.tensors) {
      if (tensor.name != name) continue;
      const Tensor all = parameter.rows(owned_rows(parameter, what), tensor);
      const std::int64_t columns = all.dims() == 2 ? all.dim(1) : 1;
      const std::int64_t first = all.dims() == 2 ? slab.offset[1] : 0;
      const std::int64_t count = all.dims() == 2 ? slab.shape[1] : 1;
      const Floats whole = floats(all);
      Floats part;
      for (std::int64_t row = 0; row < slab.shape[0]; ++row) {
        const auto begin = whole.begin() + (slab.offset[0] + row) * columns + first;
        part.insert(part.end(), begin, begin + count);
      }
      return part;
    }
  }
  fail("the oracle has no tensor {}", name);
}

// Calls visit(name, own numbers, the slab that they are of the global tensor) for each tensor that
// this rank owns rows of.
template <class Visit>
void for_each_owned(const ParameterSet& own, What what, const Visit& visit) {
  for (const Parameter& parameter : own) {
    for (const LogicalTensor& tensor : parameter.declaration.tensors) {
      const Tensor rows = parameter.owned_rows(owned_rows(parameter, what), tensor);
      visit(tensor.name, floats(rows), owned_part(parameter.declaration, tensor).slab);
    }
  }
}

double distance(const Floats& a, const Floats& b) {
  require(a.size() == b.size(), "{} numbers beside {}", a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double(a[i]) - double(b[i]), 2);
  return std::sqrt(sum);
}

double norm_of(const Floats& x) {
  return distance(x, Floats(x.size()));
}

// Gathers what is amiss.
class Findings {
 public:
  // |actual / expected - 1| <= bound
  void ratio(const std::string& what, double actual, double expected, double bound) {
    at_most(what, std::abs(actual / expected - 1), bound);
  }
  // NaN is never at most anything.
  void at_most(const std::string& what, double value, double bound) {
    if (!(value <= bound)) found_.push_back(fmt::format("{}: {} > {}", what, value, bound));
  }
  void holds(const std::string& what, bool value) {
    if (!value) found_.push_back(what);
  }
  // Each tensor that this rank owns rows of against the oracle's, by norm; 0 wants equal numbers.
  // `least`: what a smaller norm counts as, where gradients cancel to nothing.
  void close(const ParameterSet& own, const ParameterSet& oracle, What what, double bound,
             double least = 0) {
    for_each_owned(own, what, [&](const auto& name, const Floats& rows, const Hyperslab& slab) {
      const Floats expected = part_of(oracle, what, name, slab);
      at_most(name, distance(rows, expected), bound * std::max(norm_of(expected), least));
    });
  }

  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> found_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const LayoutCase& c) {
  return out << c.mesh.to_string() << ", " << c.schedule << ", partition " << c.partition << ", "
             << c.samples << " samples by " << c.micro_batch << (c.tied ? ", tied" : ", untied")
             << (c.sequence_parallel ? ", sequence parallel" : "") << ", recompute " << c.recompute
             << ", sequence " << c.sequence << ", hidden " << c.hidden << ", spans " << c.spans
             << ", " << name_of(c.dtype);
}

namespace {

// What MASFORMER_TEST_TRANSPORT names; through the host by default, so that ranks may share a
// device.
Transport transport() {
  const char* const named = std::getenv("MASFORMER_TEST_TRANSPORT");
  return named != nullptr && named == std::string("nccl") ? Transport::nccl : Transport::mpi;
}

}  // namespace

LayoutRun over_all_ranks(const LayoutCase& c, const Mutation& mutation) {
  std::vector<int> everyone;
  for (int rank = 0; rank < world().size(); ++rank) everyone.push_back(rank);
  LayoutCase own = c;
  if (!mutation.spans.empty()) own.spans = mutation.spans;
  const auto make_groups = [&](const Stream& stream) {
    auto group = make_mpi_group(world(), everyone, 1);
    const DeviceTransport devices{&stream, transport(), std::chrono::seconds(60)};
    return make_communicators(std::move(group), c.mesh, devices);
  };
  return {own, c.mesh, make_groups, mutation};
}

LayoutRun::LayoutRun(const LayoutCase& c, const Mesh& mesh, const MakeGroups& make_groups,
                     Mutation mutation)
    : case_(c),
      mesh_(mesh),
      mutation_(std::move(mutation)),
      groups_(make_groups(stream_)),
      under_test_(config_of(c), mesh, groups_.at, partition_of(c, mesh), policy_of(c),
                  make_schedule(c.schedule, mesh.pipe, c.samples / c.micro_batch / mesh.data),
                  stream_, groups_, mutation_.stage) {
  parameters().initialise(stream_, seed, 0.3);
  under_test_.stage.sync().publish_all();
}

void LayoutRun::differentiate(int step) {
  feed(step);
  under_test_.stage.begin_training(case_.samples * case_.sequence);
  execute(under_test_.training, *groups_.pipe, under_test_.stage);
  under_test_.stage.sync().finish_reduction();
  if (mutation_.gradients) mutation_.gradients(parameters());
  sum_squared_norm(stream_, parameters(), *groups_.world);
  norm_ = gradient_norm(stream_, parameters());
  loss_ = mean_loss();
}

void LayoutRun::update_weights(int step) {
  const OptimizerConfig optimizer{.lr = 1e-3, .steps = case_.steps};
  update(stream_, optimizer, step + 1, parameters(), under_test_.stage.sync());
}

double LayoutRun::evaluate(int step) {
  feed(step);
  under_test_.stage.begin_evaluation();
  execute(under_test_.evaluation, *groups_.pipe, under_test_.stage);
  return mean_loss();
}

bool LayoutRun::copies_are_equal() {
  const auto shared = under_test_.stage.description().shared_table;
  if (!shared) return true;
  const Tensor table = parameters()[*shared].master;
  HostCopy copied(table);
  const std::string bits(static_cast<const char*>(copied.raw()),
                         static_cast<std::size_t>(table.bytes()));
  return std::ranges::all_of(groups_.ends->all_gather(bits),
                             [&](const std::string& copy) { return copy == bits; });
}

double LayoutRun::mean_loss() {
  const double own = groups_.at.tensor == 0 ? under_test_.stage.loss_sum() : 0.0;
  return sum_over(*groups_.world, own) / double(case_.samples * case_.sequence);
}

void LayoutRun::feed(int step) {
  const int own = case_.samples / mesh_.data;
  const int micro_batches = own / case_.micro_batch;
  for (int m = 0; m < micro_batches; ++m) {
    const int fed = mutation_.micro_batch ? mutation_.micro_batch(m) : m;
    std::vector<std::int32_t> tokens;
    std::vector<std::int32_t> labels;
    for (int i = 0; i < case_.micro_batch; ++i) {
      const int sample = groups_.at.data * own + fed * case_.micro_batch + i;
      for (std::int64_t place = 0; place < case_.sequence; ++place) {
        tokens.push_back(token(step, sample, place));
        labels.push_back(token(step, sample, place + 1));
      }
    }
    under_test_.stage.set_micro_batch(m, tokens.data(), labels.data(),
                                      positions(case_.micro_batch, case_.sequence).data());
  }
}

std::vector<std::string> differences_from_one_rank(const LayoutCase& c, const Mutation& mutation) {
  LayoutRun run = over_all_ranks(c, mutation);
  LayoutRun oracle = on_one_rank(c);
  Findings findings;
  findings.close(run.parameters(), oracle.parameters(), What::master, 0);
  for (int step = 0; step < c.steps; ++step) {
    run.differentiate(step);
    oracle.differentiate(step);
    findings.ratio(fmt::format("loss of step {}", step), run.loss(), oracle.loss(),
                   step == 0 ? 5e-7 : 5e-6);
    if (step == 0) {
      findings.ratio("gradient norm", run.norm(), oracle.norm(), 1e-6);
      // A query that sees next to no keys has next to no gradient.
      const double least = c.sequence < 5 ? 0.1 * oracle.norm() : 0;
      findings.close(run.parameters(), oracle.parameters(), What::gradient, 5e-6, least);
    }
    run.update_weights(step);
    oracle.update_weights(step);
  }
  findings.ratio("evaluation", run.evaluate(c.steps), oracle.evaluate(c.steps), 5e-6);
  findings.holds("both copies of the token table are equal", run.copies_are_equal());
  return findings.found();
}

std::vector<std::string> differences_in_bf16(const LayoutCase& c, const Mutation& mutation) {
  const auto in = [&](DType dtype) {
    LayoutCase changed = c;
    changed.dtype = dtype;
    return changed;
  };
  LayoutRun exact = on_one_rank(in(DType::f32));
  LayoutRun one_rank = on_one_rank(in(DType::bf16));
  LayoutRun run = over_all_ranks(in(DType::bf16), mutation);
  Findings findings;
  findings.close(run.parameters(), exact.parameters(), What::master, 0);
  for (int step = 0; step < c.steps; ++step) {
    for (LayoutRun* const each : {&exact, &one_rank, &run}) each->differentiate(step);
    findings.ratio(fmt::format("loss of step {}", step), run.loss(), exact.loss(), 5e-3);
    if (step == 0) {
      const double rounding = std::abs(one_rank.norm() / exact.norm() - 1);
      findings.ratio("gradient norm", run.norm(), exact.norm(), 1e-3 + 2.5 * rounding);
      for_each_owned(run.parameters(), What::gradient,
                     [&](const auto& name, const Floats& rows, const Hyperslab& slab) {
                       const auto part = [&](LayoutRun& oracle) {
                         return part_of(oracle.parameters(), What::gradient, name, slab);
                       };
                       const double one = distance(part(one_rank), part(exact));
                       findings.at_most(name, distance(rows, part(exact)), 2.5 * one);
                     });
    }
    for (LayoutRun* const each : {&exact, &one_rank, &run}) each->update_weights(step);
  }
  findings.ratio("evaluation", run.evaluate(c.steps), exact.evaluate(c.steps), 5e-3);
  findings.holds("both copies of the token table are equal", run.copies_are_equal());
  return findings.found();
}

std::vector<std::string> differences_by_recomputation(const LayoutCase& c,
                                                      const std::string& recompute) {
  LayoutCase changed = c;
  changed.recompute = recompute;
  LayoutRun kept = over_all_ranks(c);
  LayoutRun recomputed = over_all_ranks(changed);
  Findings findings;
  findings.holds("it takes no more memory",
                 recomputed.memory().activations <= kept.memory().activations);
  for (int step = 0; step < 2; ++step) {
    for (LayoutRun* const run : {&kept, &recomputed}) {
      run->differentiate(step);
      run->update_weights(step);
    }
    findings.ratio("loss", recomputed.loss(), kept.loss(), 0);
    findings.ratio("gradient norm", recomputed.norm(), kept.norm(), 0);
  }
  for (ParameterId id = 0; id < kept.parameters().size(); ++id) {
    const Tensor a = kept.parameters()[id].master;
    const Tensor b = recomputed.parameters()[id].master;
    findings.holds("the same bits", same_bits(a, b));
  }
  return findings.found();
}

}  // namespace masformer::test
