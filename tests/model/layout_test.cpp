// Every layout against one rank: the same weights at the start, bit for bit; loss, gradient norm
// and every gradient of the first step; losses over 20 steps. The bounds are the design's.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/mpi_communicator.h"
#include "runtime/random.h"
#include "tests/support/single_rank.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

struct Case {
  Mesh mesh;
  std::string schedule = "1f1b";
  std::string partition = "even";
  int samples = 8;  // of a step, over all data ranks
  int micro_batch = 1;
  bool tied = true;
  bool sequence_parallel = true;
  std::string recompute = "none";
  std::int64_t sequence = 33;
  std::int64_t hidden = 48;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.mesh.to_string() << ", " << c.schedule << ", partition " << c.partition << ", "
             << c.samples << " samples by " << c.micro_batch << (c.tied ? ", tied" : ", untied")
             << (c.sequence_parallel ? ", sequence parallel" : "") << ", recompute " << c.recompute
             << ", sequence " << c.sequence << ", hidden " << c.hidden;
}

constexpr std::int64_t vocab = 257;
constexpr int steps = 20;
constexpr std::uint64_t seed = 7;

ModelConfig config_of(const Case& c) {
  return {.layers = 4,
          .hidden = c.hidden,
          .heads = c.hidden % 8 == 0 ? 8 : c.hidden,
          .ffn = 2 * c.hidden,
          .vocab = vocab,
          .positions = c.sequence,
          .spans = parse_spans("full,window:5,block:8,window:16"),
          .attention_scale = 0.3f,
          .tied = c.tied};
}

std::int32_t token(int step, int sample, std::int64_t place) {
  const auto key =
      mix(mix(seed, static_cast<std::uint64_t>(step)),
          static_cast<std::uint64_t>(sample) * 1000 + static_cast<std::uint64_t>(place));
  return static_cast<std::int32_t>(key % vocab);
}

// One rank of a mesh, training.
class TrainingRun {
 public:
  TrainingRun(const Case& c, const Mesh& mesh, Communicators groups)
      : case_(c),
        mesh_(mesh),
        groups_(std::move(groups)),
        under_test_(config_of(c), mesh, groups_.at,
                    make_partition(mesh.pipe == 1 ? "even" : c.partition, 4, mesh.pipe),
                    {.shape = {c.micro_batch, c.sequence},
                     .sequence_parallel = c.sequence_parallel,
                     .recompute = parse_recompute(c.recompute, 4)},
                    make_schedule(c.schedule, mesh.pipe, c.samples / c.micro_batch / mesh.data),
                    stream_, groups_) {
    parameters().initialise(stream_, seed, 0.3);
    under_test_.stage.sync().publish_all();
  }

  ParameterSet& parameters() { return under_test_.stage.parameters(); }
  const MemoryTable& memory() const { return under_test_.stage.memory(); }

  // Forward and backward of a step; gradients are summed and not yet used.
  void differentiate(int step) {
    feed(step);
    under_test_.stage.begin_training(case_.samples * case_.sequence);
    execute(under_test_.training, *groups_.pipe, under_test_.stage);
    under_test_.stage.sync().finish_reduction();
    norm_ = gradient_norm(stream_, parameters(), *groups_.world);
    const bool counts = groups_.at.tensor == 0;
    loss_ = sum_over(*groups_.world, counts ? under_test_.stage.loss_sum() : 0.0) /
            double(case_.samples * case_.sequence);
  }
  void update_weights(int step) {
    const OptimizerConfig optimizer{.lr = 1e-3, .steps = steps};
    update(stream_, optimizer, step + 1, norm_, parameters(), under_test_.stage.sync());
  }
  double evaluate(int step) {
    feed(step);
    under_test_.stage.begin_evaluation();
    execute(under_test_.evaluation, *groups_.pipe, under_test_.stage);
    return sum_over(*groups_.world, groups_.at.tensor == 0 ? under_test_.stage.loss_sum() : 0.0) /
           double(case_.samples * case_.sequence);
  }
  // First and last stage share the token table: after any number of steps, bit for bit.
  void expect_equal_copies() {
    const auto shared = under_test_.stage.description().shared_table;
    if (!shared) return;
    const Tensor table = parameters()[*shared].master;
    const std::string bits(static_cast<const char*>(table.raw()),
                           static_cast<std::size_t>(table.bytes()));
    for (const std::string& copy : groups_.ends->all_gather(bits)) EXPECT_TRUE(copy == bits);
  }
  double loss() const { return loss_; }
  double norm() const { return norm_; }

 private:
  void feed(int step) {
    const int own = case_.samples / mesh_.data;
    const int micro_batches = own / case_.micro_batch;
    for (int m = 0; m < micro_batches; ++m) {
      std::vector<std::int32_t> tokens;
      std::vector<std::int32_t> labels;
      for (int i = 0; i < case_.micro_batch; ++i) {
        const int sample = groups_.at.data * own + m * case_.micro_batch + i;
        for (std::int64_t place = 0; place < case_.sequence; ++place) {
          tokens.push_back(token(step, sample, place));
          labels.push_back(token(step, sample, place + 1));
        }
      }
      under_test_.stage.set_micro_batch(m, tokens.data(), labels.data(),
                                        positions(case_.micro_batch, case_.sequence).data());
    }
  }

  Case case_;
  Mesh mesh_;
  Stream stream_{Device::cpu, 1};
  Communicators groups_;
  StageUnderTest under_test_;
  double loss_ = 0, norm_ = 0;
};

// The part of the oracle's whole tensor that `slab` names.
std::vector<float> part_of(const ParameterSet& oracle, Tensor Parameter::*which,
                           const std::string& name, const Hyperslab& slab) {
  for (const Parameter& parameter : oracle) {
    for (const LogicalTensor& tensor : parameter.declaration.tensors) {
      if (tensor.name != name) continue;
      const Tensor all = parameter.rows(parameter.*which, tensor);
      const std::int64_t columns = all.dims() == 2 ? all.dim(1) : 1;
      const std::int64_t first = all.dims() == 2 ? slab.offset[1] : 0;
      const std::int64_t count = all.dims() == 2 ? slab.shape[1] : 1;
      std::vector<float> part;
      for (std::int64_t row = 0; row < slab.shape[0]; ++row) {
        const float* const begin = all.data<float>() + (slab.offset[0] + row) * columns + first;
        part.insert(part.end(), begin, begin + count);
      }
      return part;
    }
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

// Each tensor that this rank owns rows of against the oracle's, by norm; 0 wants equal bits.
// `least`: what a smaller norm counts as, where gradients cancel to nothing.
void expect_close(const ParameterSet& own, const ParameterSet& oracle, Tensor Parameter::*which,
                  double bound, double least = 0) {
  for (const Parameter& parameter : own) {
    for (const LogicalTensor& tensor : parameter.declaration.tensors) {
      const Tensor rows = parameter.owned_rows(parameter.owned(parameter.*which), tensor);
      const std::vector<float> expected =
          part_of(oracle, which, tensor.name, owned_part(parameter.declaration, tensor).slab);
      ASSERT_EQ(rows.elements(), std::ssize(expected));
      double difference = 0;
      double norm = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += std::pow(double(rows.data<float>()[i]) - double(expected[i]), 2);
        norm += std::pow(double(expected[i]), 2);
      }
      EXPECT_LE(std::sqrt(difference), bound * std::max(std::sqrt(norm), least)) << tensor.name;
    }
  }
}

void expect_same_bits(const ParameterSet& a, const ParameterSet& b) {
  for (ParameterId id = 0; id < a.size(); ++id) {
    const Tensor left = a[id].master;
    const Tensor right = b[id].master;
    EXPECT_EQ(std::memcmp(left.raw(), right.raw(), static_cast<std::size_t>(left.bytes())), 0)
        << a[id].declaration.tensors.front().name;
  }
}

std::vector<Case> cases() {
  std::vector<Case> all{{.mesh = {}, .micro_batch = 2}};
  for (const char* const schedule : {"gpipe", "1f1b"}) {
    for (const bool tied : {true, false}) {
      all.push_back({{.tensor = 2}, schedule, "even", 8, 2, tied});
      all.push_back({{.pipe = 2}, schedule, "even", 8, 1, tied});
      all.push_back({{.pipe = 2}, schedule, "3,1", 4, 4, tied});  // fewer micro-batches than stages
      all.push_back({{.pipe = 2, .tensor = 2}, schedule, "1,3", 8, 2, tied});
      all.push_back({{.pipe = 2, .data = 2}, schedule, "even", 8, 1, tied});
      all.push_back({{.pipe = 4}, schedule, "even", 6, 1, tied});
    }
  }
  all.push_back({{.data = 2}, "1f1b", "even", 8, 2});
  all.push_back({{.data = 2, .tensor = 2}, "1f1b", "even", 8, 2});
  all.push_back({{.tensor = 4}, "1f1b", "even", 4, 1, false});
  all.push_back({{.pipe = 3}, "1f1b", "even", 6, 1});
  all.push_back({{.pipe = 2, .data = 3}, "1f1b", "even", 6, 1});
  all.push_back({{.tensor = 8}, "1f1b", "even", 2, 1});  // some hold no word of the vocabulary
  all.push_back({{.pipe = 2, .data = 2, .tensor = 2}, "1f1b", "even", 4, 1});
  all.push_back({{.pipe = 3}, "gpipe", "1,2,1", 2, 1});
  // Fewer tokens than tensor ranks, and fewer rows than data ranks: some have none.
  all.push_back({.mesh = {.tensor = 3}, .samples = 2, .sequence = 1, .hidden = 6});
  all.push_back({.mesh = {.tensor = 4}, .samples = 3, .sequence = 1});
  all.push_back({.mesh = {.data = 6}, .samples = 6, .hidden = 4});
  all.push_back({.mesh = {.data = 2, .tensor = 4}, .samples = 2, .sequence = 3});
  // Where tensor ranks share tokens by default, they need not.
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.tensor == 1) continue;
    all.push_back(all[i]);
    all.back().sequence_parallel = false;
  }
  return all;
}

// This rank's part of a case, over all ranks.
TrainingRun run_of(const Case& c) {
  std::vector<int> everyone;
  for (int rank = 0; rank < world().size(); ++rank) everyone.push_back(rank);
  return {c, c.mesh, make_communicators(make_mpi_group(world(), everyone, 1), c.mesh)};
}

void compare_with_one_rank(const Case& c) {
  TrainingRun run = run_of(c);
  TrainingRun oracle(c, Mesh{}, alone());
  expect_close(run.parameters(), oracle.parameters(), &Parameter::value, 0);
  for (int step = 0; step < steps; ++step) {
    run.differentiate(step);
    oracle.differentiate(step);
    EXPECT_NEAR(run.loss() / oracle.loss(), 1, step == 0 ? 5e-7 : 5e-6) << "step " << step;
    if (step == 0) {
      EXPECT_NEAR(run.norm() / oracle.norm(), 1, 1e-6);
      // A query that sees next to no keys has next to no gradient.
      const double least = c.sequence < 5 ? 0.1 * oracle.norm() : 0;
      expect_close(run.parameters(), oracle.parameters(), &Parameter::gradient, 5e-6, least);
    }
    run.update_weights(step);
    oracle.update_weights(step);
  }
  EXPECT_NEAR(run.evaluate(steps) / oracle.evaluate(steps), 1, 5e-6);
  run.expect_equal_copies();
}

TEST(Layout, ComputesWhatOneRankComputes) {
  int compared = 0;
  for (const Case& c : cases()) {
    if (c.mesh.size() != world().size()) continue;
    SCOPED_TRACE(testing::Message() << c);
    compare_with_one_rank(c);
    ++compared;
  }
  EXPECT_GT(compared, 0) << "no case for " << world().size() << " ranks";
}

TEST(Layout, RecomputationTakesLessMemoryAndChangesNoBit) {
  for (const Case& c : cases()) {
    if (c.mesh.size() != world().size() || c.partition != "even") continue;
    for (const char* const recompute : {"selective", "block", "block,none,selective,block"}) {
      Case changed = c;
      changed.recompute = recompute;
      SCOPED_TRACE(testing::Message() << changed);
      TrainingRun kept = run_of(c);
      TrainingRun recomputed = run_of(changed);
      EXPECT_LE(recomputed.memory().activations, kept.memory().activations);
      for (int step = 0; step < 2; ++step) {
        for (TrainingRun* const run : {&kept, &recomputed}) {
          run->differentiate(step);
          run->update_weights(step);
        }
        EXPECT_EQ(recomputed.loss(), kept.loss());
        EXPECT_EQ(recomputed.norm(), kept.norm());
      }
      expect_same_bits(recomputed.parameters(), kept.parameters());
    }
  }
}

}  // namespace
}  // namespace masformer::test
