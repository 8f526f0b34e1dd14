// The parameters of each rank and their initial values: together, the ranks of any layout hold the
// same model.
#include "model/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/stages.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using Extents = std::vector<std::int64_t>;

ModelConfig small_model(bool tied, std::int64_t vocab = 101) {
  return {
      .hidden = 32,
      .vocab = vocab,
      .positions = 24,
      .blocks = blocks_of_spans(parse_spans("full*2,window:4*3"), {.heads = 4}, GeluMlpSpec{80}),
      .tied = tied};
}

std::size_t elements(const Extents& shape) {
  return static_cast<std::size_t>(whole(shape).elements());
}

// Names and shapes of GPT-Neo in Hugging Face's format.
std::map<std::string, Extents> gpt_neo_tensors(const ModelConfig& c) {
  std::map<std::string, Extents> all{{"transformer.wte.weight", {c.vocab, c.hidden}},
                                     {"transformer.wpe.weight", {c.positions, c.hidden}},
                                     {"transformer.ln_f.weight", {c.hidden}},
                                     {"transformer.ln_f.bias", {c.hidden}}};
  if (!c.tied) all["lm_head.weight"] = {c.vocab, c.hidden};
  for (int layer = 0; layer < c.layers(); ++layer) {
    const std::string block = fmt::format("transformer.h.{}.", layer);
    for (const char* const norm : {"ln_1", "ln_2"}) {
      all[block + norm + ".weight"] = all[block + norm + ".bias"] = {c.hidden};
    }
    for (const char* const projection : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      all[block + "attn.attention." + projection + ".weight"] = {c.hidden, c.hidden};
    }
    all[block + "attn.attention.out_proj.bias"] = all[block + "mlp.c_proj.bias"] = {c.hidden};
    all[block + "mlp.c_fc.weight"] = {80, c.hidden};
    all[block + "mlp.c_fc.bias"] = {80};
    all[block + "mlp.c_proj.weight"] = {c.hidden, 80};
  }
  return all;
}

struct Layout {
  Mesh mesh;
  bool tied;
};

std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (const Mesh& mesh : all_kinds_of_meshes()) {
    for (const bool tied : {true, false}) all.push_back({mesh, tied});
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<Layout>& info) {
  const Mesh& mesh = info.param.mesh;
  return fmt::format("p{}d{}t{}_{}", mesh.pipe, mesh.data, mesh.tensor,
                     info.param.tied ? "tied" : "untied");
}

class ParameterSpecs : public testing::TestWithParam<Layout> {
 protected:
  ModelConfig config_ = small_model(GetParam().tied);
  std::map<std::string, Extents> tensors_ = gpt_neo_tensors(config_);
  std::vector<RankedStage> stages_ = stages_of(config_, GetParam().mesh);
};

// The owned rows of a tensor, as a tensor.
LogicalTensor owned(const ParameterSpec& parameter, LogicalTensor tensor) {
  const OwnedPart part = owned_part(parameter, tensor);
  tensor.slab = part.slab;
  tensor.first_row = parameter.owned.begin + part.first_row;
  return tensor;
}

TEST_P(ParameterSpecs, PrimaryOwnedPartsCoverEachTensorOnce) {
  std::map<std::string, std::vector<int>> primary;
  std::map<std::string, std::vector<int>> held;  // by name and data rank
  for (const auto& [name, shape] : tensors_) {
    primary[name].resize(elements(shape));
  }
  for (const auto& [at, stage] : stages_) {
    for (const ParameterSpec& parameter : stage.parameters) {
      for (const LogicalTensor& tensor : parameter.tensors) {
        ASSERT_EQ(tensor.global_shape, tensors_.at(tensor.name)) << tensor.name;
        auto& copies = held[tensor.name + std::to_string(at.data)];
        copies.resize(elements(tensor.global_shape));
        for_each_held(parameter, tensor,
                      [&](std::size_t element, std::size_t) { ++copies[element]; });
        if (!parameter.primary) continue;
        for_each_held(parameter, owned(parameter, tensor),
                      [&](std::size_t element, std::size_t) { ++primary[tensor.name][element]; });
      }
    }
  }
  for (const auto& [name, counts] : primary) {
    EXPECT_EQ(std::ranges::count(counts, 1), std::ssize(counts)) << name;
  }
  EXPECT_EQ(held.size(), primary.size() * static_cast<std::size_t>(GetParam().mesh.data));
  for (const auto& [name, counts] : held) EXPECT_EQ(std::ranges::count(counts, 0), 0) << name;
}

TEST_P(ParameterSpecs, StoredRowsBelongToOneTensorOrArePadding) {
  const std::int64_t padding = padded_vocab(config_.vocab, GetParam().mesh.tensor) - config_.vocab;
  std::map<std::string, std::int64_t> padding_rows;  // over all tensor ranks
  for (const auto& [at, stage] : stages_) {
    for (const ParameterSpec& parameter : stage.parameters) {
      std::vector<int> used(static_cast<std::size_t>(parameter.shape.elements()));
      for (const LogicalTensor& tensor : parameter.tensors) {
        for_each_held(parameter, tensor,
                      [&](std::size_t, std::size_t stored) { ++used.at(stored); });
      }
      EXPECT_EQ(std::ranges::count_if(used, [](int count) { return count > 1; }), 0);
      const std::string key =
          fmt::format("{} of stage {} data {}", parameter.tensors[0].name, at.pipe, at.data);
      padding_rows[key] += std::ranges::count(used, 0);
    }
  }
  for (const auto& [key, unused] : padding_rows) {
    const bool table = key.starts_with("transformer.wte") || key.starts_with("lm_head");
    EXPECT_EQ(unused, table ? padding * config_.hidden : 0) << key;
  }
}

TEST_P(ParameterSpecs, DecayOnlyMatrices) {
  for (const auto& [at, stage] : stages_) {
    for (const ParameterSpec& parameter : stage.parameters) {
      for (const LogicalTensor& tensor : parameter.tensors) {
        const bool norm = tensor.name.find(".ln_") != std::string::npos;
        const bool bias = tensor.name.ends_with(".bias");
        EXPECT_EQ(parameter.decay, !norm && !bias) << tensor.name;
        const Initial initial = bias ? Initial::zeros : (norm ? Initial::ones : Initial::normal);
        EXPECT_EQ(parameter.initial, initial) << tensor.name;
      }
    }
  }
}

using Globals = std::map<std::string, std::vector<float>>;

// Copies what a rank holds to the global tensors. An element that another rank has copied before
// must have the same bits.
void join(const ParameterSet& parameters, Globals& globals) {
  for (const Parameter& parameter : parameters) {
    std::int64_t held = 0;
    const float* const stored = parameter.master.data<float>();
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      auto& global = globals[tensor.name];
      global.resize(elements(tensor.global_shape), std::nanf(""));
      std::int64_t different = 0;
      for_each_held(parameter.spec, tensor, [&](std::size_t element, std::size_t at) {
        ++held;
        if (std::isnan(global[element])) global[element] = stored[at];
        different += std::memcmp(&global[element], &stored[at], sizeof(float)) != 0 ? 1 : 0;
      });
      EXPECT_EQ(different, 0) << tensor.name;
    }
    // Padding stays zero.
    const auto zeros = std::count(stored, stored + parameter.master.elements(), 0.0f);
    if (held < parameter.master.elements()) {
      EXPECT_EQ(zeros, parameter.master.elements() - held);
    }
  }
}

Globals initialised(const ModelConfig& config, const Mesh& mesh, std::uint64_t seed, int threads,
                    Globals globals = {}) {
  for (const RankedStage& stage : stages_of(config, mesh)) {
    ParameterSet parameters(Device::cpu, stage.spec.parameters, DType::f32, Purpose::evaluation);
    parameters.initialise(Stream(Device::cpu, threads), seed, 0.02);
    join(parameters, globals);
  }
  return globals;
}

TEST_P(ParameterSpecs, StartWithTheBitsOfOneRank) {
  const Globals alone = initialised(config_, {}, 7, 1);
  EXPECT_EQ(alone.size(), tensors_.size());
  // join() compares each copy and part with the bits of one rank.
  EXPECT_EQ(initialised(config_, GetParam().mesh, 7, 2, alone), alone);
}

// A rank saves all tensors at once, and loads them one by one.
TEST_P(ParameterSpecs, PlanTheMemoryOfCheckpointsExactly) {
  for (const RankedStage& stage : stages_) {
    for (const Purpose purpose : {Purpose::training, Purpose::evaluation}) {
      const auto& specs = stage.spec.parameters;
      const ParameterSet parameters(Device::cpu, specs, DType::f32, purpose);
      std::int64_t saved = 0, largest = 0;
      for (const Parameter& parameter : parameters) {
        for (const LogicalTensor& tensor : parameter.spec.tensors) {
          for (const Tensor* const kept : {&parameter.master, &parameter.m, &parameter.v}) {
            if (!*kept) continue;
            const Tensor rows = parameter.owned_rows(*kept, tensor);
            largest = std::max(largest, rows.bytes());
            const bool counts = purpose == Purpose::training && parameter.spec.primary;
            saved += counts ? Arena::footprint(rows.shape(), rows.dtype()) : 0;
          }
        }
      }
      EXPECT_EQ(checkpoint_memory(specs, purpose), std::max(saved, largest));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, ParameterSpecs, testing::ValuesIn(layouts()), name_of);

TEST(ParameterSpecs, GiveSomeRanksOnlyPaddingOfASmallVocabulary) {
  const ModelConfig config = small_model(true, 17);  // padded to 16 words per rank
  const Globals alone = initialised(config, {}, 3, 1);
  EXPECT_EQ(initialised(config, {.tensor = 4}, 3, 1, alone), alone);
  const auto stages = stages_of(config, {.tensor = 4});
  for (const std::size_t rank : {2u, 3u}) {
    const ParameterSpec& table = stages[rank].spec.parameters[0];
    EXPECT_EQ(table.tensors[0].slab.elements(), 0);
    EXPECT_EQ(table.shape, (Shape{16, 32}));
  }
}

TEST(Initialise, DrawsEachTensorIndependently) {
  const ModelConfig config = small_model(false);
  const Globals seven = initialised(config, {}, 7, 1), eight = initialised(config, {}, 8, 1);
  std::map<float, std::string> first_numbers;
  for (const auto& [name, values] : seven) {
    if (name.ends_with(".bias")) {
      EXPECT_EQ(values, std::vector<float>(values.size(), 0.0f)) << name;
    } else if (name.find(".ln_") != std::string::npos) {
      EXPECT_EQ(values, std::vector<float>(values.size(), 1.0f)) << name;
    } else {
      double sum = 0, squares = 0;
      for (const float x : values) {
        sum += x;
        squares += double(x) * x;
      }
      const auto count = static_cast<double>(values.size());
      // Five standard errors.
      EXPECT_NEAR(sum / count, 0, 5 * 0.02 / std::sqrt(count)) << name;
      EXPECT_NEAR(std::sqrt(squares / count) / 0.02, 1, 5 / std::sqrt(2 * count)) << name;
      EXPECT_NE(values, eight.at(name)) << name;
      EXPECT_TRUE(first_numbers.emplace(values[0], name).second)
          << name << " begins as " << first_numbers[values[0]];
    }
  }
}

TEST(ParameterSet, AllocatesOnlyWhatItsPurposeNeeds) {
  const ModelConfig config = small_model(true);
  const StageSpec stage = std::move(stages_of(config, {}).front().spec);
  ParameterSet trained(Device::cpu, stage.parameters, DType::f32, Purpose::training);
  const Tensor all = trained.gradients();
  set(all, [](std::int64_t) { return 1; });
  for (const Parameter& parameter : trained) {
    EXPECT_EQ(values(parameter.gradient),
              Numbers(static_cast<std::size_t>(parameter.gradient.elements()), 1));
    EXPECT_EQ(values(parameter.v), Numbers(static_cast<std::size_t>(parameter.v.elements()), 0));
    EXPECT_EQ(parameter.value.raw(), parameter.master.raw());
    EXPECT_EQ(parameter.m.shape(), parameter.spec.shape);
  }
  const ParameterSet evaluated(Device::cpu, stage.parameters, DType::f32, Purpose::evaluation);
  for (const Parameter& parameter : evaluated) {
    EXPECT_TRUE(parameter.master);
    EXPECT_FALSE(parameter.gradient);
    EXPECT_FALSE(parameter.m);
    EXPECT_FALSE(parameter.v);
  }
  EXPECT_EQ(evaluated.gradients().elements(), 0);
}

}  // namespace
}  // namespace masformer
