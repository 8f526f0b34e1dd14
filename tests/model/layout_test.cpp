// Compares layouts with one rank, in cases chosen at boundaries; layout_sample_test.cpp draws them
// at random. Also tests the comparison: it must find faults that are made on purpose.
#include <gtest/gtest.h>

#include "model/layers/attention_layer.h"
#include "model/layers/context_attention.h"
#include "model/layers/head_attention.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"
#include "tests/support/has_bf16.h"
#include "tests/support/layout_comparison.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

// Cases for the fake of CUDA, which is slow: each axis alone and with another, on small tensors.
// The axes that divide attention have rotary positions.
std::vector<LayoutCase> small_cases() {
  std::vector<LayoutCase> all;
  for (const Mesh& mesh :
       {Mesh{}, Mesh{.tensor = 2}, Mesh{.pipe = 2}, Mesh{.data = 2}, Mesh{.context = 2},
        Mesh{.pipe = 2, .tensor = 2}, Mesh{.pipe = 2, .data = 2}, Mesh{.context = 4}}) {
    all.push_back({.mesh = mesh,
                   .samples = 4,
                   .sequence = mesh.context > 1 ? 16 : 9,
                   .hidden = 16,
                   .heads = 2,
                   .spans = "full,window:5",
                   .steps = 3,
                   .positions = mesh.tensor * mesh.context > 1 ? PositionsKind::rotary
                                                               : PositionsKind::learned});
  }
  for (const std::string order : {"contiguous", "zigzag"}) {
    all.push_back({.mesh = {.context = 2},
                   .samples = 2,
                   .micro_batch = 2,
                   .sequence = 16,
                   .hidden = 16,
                   .heads = 2,
                   .spans = "full,window:5",
                   .steps = 3,
                   .order = order,
                   .documents = "5,1,4"});
  }
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.size() <= 2 && all[i].mesh.pipe == 1) {
      all.push_back(all[i]);
      all.back().ffn_block = 4;
    }
    if (all[i].mesh.context > 1) {
      all.push_back(all[i]);
      all.back().full = "heads", all.back().heads = 4, all.back().order = "zigzag";
    }
  }
  return all;
}

// What a step computes is compared in the first; more show that the optimizer's state is right.
constexpr int few_steps = 3;

// MLPs by blocks of tokens: that divide the tokens and that don't, of one token and of all, with
// every axis, and where blocks cross the borders of samples and of tensor ranks.
std::vector<LayoutCase> ffn_block_cases() {
  return {{.mesh = {}, .samples = 4, .micro_batch = 2, .ffn_block = 7},
          {.mesh = {}, .samples = 2, .ffn_block = 33},
          {.mesh = {.tensor = 2}, .samples = 4, .ffn_block = 11},
          {.mesh = {.tensor = 2}, .samples = 4, .micro_batch = 2, .ffn_block = 1},
          {.mesh = {.data = 2}, .samples = 4, .ffn_block = 8},
          {.mesh = {.context = 2}, .samples = 2, .sequence = 48, .order = "zigzag", .ffn_block = 9},
          {.mesh = {.pipe = 2, .tensor = 2}, .samples = 6, .ffn_block = 10},
          {.mesh = {.context = 2, .tensor = 2}, .samples = 2, .sequence = 48, .ffn_block = 5},
          {.mesh = {.pipe = 2, .data = 2}, .schedule = "v", .samples = 4, .ffn_block = 32}};
}

// The sequence over several ranks: windows narrower than a rank's share, as wide, and wider, of one
// token, and blocks whose borders are inside of a share; alone and with every other axis.
std::vector<LayoutCase> context_cases() {
  std::vector<LayoutCase> all;
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order;
      c.steps = few_steps;
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 3, 4, 8}) {
      add({.mesh = {.context = ranks}, .samples = 2, .sequence = 48});
      add({.mesh = {.context = ranks},
           .samples = 2,
           .micro_batch = 2,
           .tied = false,
           .sequence = 48,
           .spans = "window:1,window:13,window:24,window:30,block:5,block:24,full"});
    }
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 4, .spans = "window:2,full"});
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 48, .spans = "window:9,block:7"});
    add({.mesh = {.context = 2}, .samples = 2, .sequence = 48, .spans = "full*2"});
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 4, .micro_batch = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 6, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .schedule = "v", .samples = 6, .sequence = 24});
    add({.mesh = {.context = 3, .tensor = 2}, .samples = 2, .sequence = 48, .hidden = 24});
    add({.mesh = {.pipe = 2, .context = 2, .tensor = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .data = 2, .context = 2}, .samples = 4, .sequence = 24});
  }
  return all;
}

// Packed documents: of a few tokens beside a long one, so many of one token that a context rank has
// no label, and one that is the whole sample.
std::vector<LayoutCase> document_cases() {
  std::vector<LayoutCase> all;
  for (const std::string documents : {"7,5,1", "1*26,3", "48"}) {
    all.push_back(
        {.mesh = {.data = 2}, .sequence = 48, .steps = few_steps, .documents = documents});
    all.push_back({.mesh = {.tensor = 2},
                   .micro_batch = 2,
                   .sequence = 48,
                   .steps = few_steps,
                   .documents = documents});
    for (const std::string order : {"contiguous", "zigzag"}) {
      for (const Mesh& mesh :
           {Mesh{.context = 2}, Mesh{.context = 3}, Mesh{.context = 4}, Mesh{.context = 8},
            Mesh{.context = 2, .tensor = 2}, Mesh{.pipe = 2, .context = 2},
            Mesh{.data = 2, .context = 2}, Mesh{.pipe = 2, .data = 2, .context = 2}}) {
        all.push_back({.mesh = mesh,
                       .samples = 4,
                       .micro_batch = 2,
                       .sequence = 48,
                       .spans = "full,window:1,window:13,window:30,block:5,block:24",
                       .steps = few_steps,
                       .order = order,
                       .documents = documents});
      }
    }
  }
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.context != 2 && all[i].mesh.context != 4) continue;
    all.push_back(all[i]);
    all.back().full = "heads";
  }
  return all;
}

// Rotary positions, along each axis and pairs of them.
std::vector<LayoutCase> rotary_cases() {
  std::vector<LayoutCase> all{{.mesh = {}, .micro_batch = 2},
                              {.mesh = {.tensor = 2}, .micro_batch = 2},
                              {.mesh = {.tensor = 4}, .samples = 4, .tied = false},
                              {.mesh = {.pipe = 2}, .schedule = "v", .samples = 6},
                              {.mesh = {.data = 2}},
                              {.mesh = {.pipe = 2, .data = 2}, .tied = false},
                              {.mesh = {.pipe = 2, .tensor = 2}, .samples = 4, .micro_batch = 2}};
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order;
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 3, 4}) {
      add({.mesh = {.context = ranks}, .samples = 2, .micro_batch = 2, .sequence = 48});
    }
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 4, .sequence = 24});
  }
  for (LayoutCase& c : all) {
    c.positions = PositionsKind::rotary;
    c.steps = few_steps;
  }
  return all;
}

// Without positions there is no position table, so only the embedding differs.
std::vector<LayoutCase> cases_without_positions() {
  std::vector<LayoutCase> all{{.mesh = {}},
                              {.mesh = {.tensor = 2}},
                              {.mesh = {.pipe = 2, .tensor = 2}, .samples = 4},
                              {.mesh = {.pipe = 2}, .samples = 4, .tied = false},
                              {.mesh = {.context = 3}, .samples = 2, .sequence = 48},
                              {.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24}};
  for (LayoutCase& c : all) {
    c.positions = PositionsKind::none;
    c.steps = few_steps;
  }
  return all;
}

// Full layers by heads: one per rank and several, beside layers by tokens, and with every other
// axis.
std::vector<LayoutCase> head_cases() {
  std::vector<LayoutCase> all;
  for (const std::string order : {"contiguous", "zigzag"}) {
    const auto add = [&](LayoutCase c) {
      c.order = order, c.full = "heads", c.steps = few_steps;
      all.push_back(std::move(c));
    };
    for (const int ranks : {2, 4}) {
      add({.mesh = {.context = ranks}, .samples = 2, .sequence = 48});
      add({.mesh = {.context = ranks},
           .samples = 4,
           .micro_batch = 2,
           .tied = false,
           .sequence = 48,
           .spans = "full*2,window:13,full,block:5,window:30,full"});
      add({.mesh = {.context = ranks},
           .samples = 2,
           .sequence = 16,
           .heads = ranks,
           .spans = "full"});
    }
    add({.mesh = {.context = 3}, .samples = 2, .sequence = 48, .heads = 6});
    add({.mesh = {.context = 2, .tensor = 2}, .samples = 4, .micro_batch = 2, .sequence = 24});
    add({.mesh = {.data = 2, .context = 2}, .samples = 4, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2}, .samples = 6, .sequence = 24});
    add({.mesh = {.pipe = 2, .context = 2},
         .schedule = "v",
         .samples = 4,
         .micro_batch = 2,
         .sequence = 24,
         .ffn_block = 7});
    add({.mesh = {.context = 4, .tensor = 2}, .samples = 2, .sequence = 48});
    add({.mesh = {.pipe = 2, .context = 2, .tensor = 2}, .samples = 4, .sequence = 24});
  }
  return all;
}

std::vector<LayoutCase> large_cases() {
  std::vector<LayoutCase> all{{.mesh = {}, .micro_batch = 2}};
  for (const std::string& schedule : schedule_names()) {
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
  all.push_back(
      {{.tensor = 8}, "1f1b", "even", 2, 1});  // some ranks hold only padding of the vocabulary
  all.push_back({{.pipe = 2, .data = 2, .tensor = 2}, "1f1b", "even", 4, 1});
  all.push_back({{.pipe = 3}, "gpipe", "1,2,1", 2, 1});
  // Several parts per stage, whose results are sent, or handed over if both parts are on one stage.
  all.push_back({{}, "v", "even", 6, 2});
  all.push_back({{.pipe = 2}, "two chunks", "even", 6, 1});
  all.push_back({{.pipe = 2}, "v", "even", 6, 1});
  all.push_back({{.pipe = 2}, "v", "1,1,1,1", 6, 1, false});
  all.push_back({{.pipe = 2, .data = 2}, "two chunks", "even", 8, 2, false});
  all.push_back({{.pipe = 2, .tensor = 2}, "v", "even", 4, 1});
  const std::string eight = "full,window:5,block:8,window:16,full,window:3*2,full";
  all.push_back({.mesh = {.pipe = 2}, .schedule = "three chunks", .samples = 5, .spans = eight});
  all.push_back({.mesh = {.pipe = 4}, .schedule = "v", .samples = 5, .spans = eight});
  // Fewer tokens than tensor ranks, and fewer rows than data ranks: some ranks have none.
  all.push_back({.mesh = {.tensor = 3}, .samples = 2, .sequence = 1, .hidden = 6, .heads = 6});
  all.push_back({.mesh = {.tensor = 4}, .samples = 3, .sequence = 1});
  all.push_back({.mesh = {.data = 6}, .samples = 6, .hidden = 4, .heads = 2});
  all.push_back({.mesh = {.data = 2, .tensor = 4}, .samples = 2, .sequence = 3});
  std::ranges::move(context_cases(), std::back_inserter(all));
  std::ranges::move(document_cases(), std::back_inserter(all));
  std::ranges::move(rotary_cases(), std::back_inserter(all));
  std::ranges::move(cases_without_positions(), std::back_inserter(all));
  std::ranges::move(ffn_block_cases(), std::back_inserter(all));
  std::ranges::move(head_cases(), std::back_inserter(all));
  // The same without sequence parallelism.
  for (std::size_t i = 0, given = all.size(); i < given; ++i) {
    if (all[i].mesh.tensor == 1) continue;
    all.push_back(all[i]);
    all.back().sequence_parallel = false;
  }
  return all;
}

std::vector<LayoutCase> cases() {
  std::vector<LayoutCase> all = device() == Device::cpu ? large_cases() : small_cases();
  std::erase_if(all, [](const LayoutCase& c) { return c.mesh.size() != world().size(); });
  return all;
}

void expect_none(const std::vector<std::string>& differences) {
  for (const std::string& difference : differences) ADD_FAILURE() << difference;
}

TEST(Layout, ComputesWhatOneRankComputes) {
  ASSERT_FALSE(cases().empty()) << "no case for " << world().size() << " ranks";
  for (const LayoutCase& c : cases()) {
    SCOPED_TRACE(testing::Message() << c);
    expect_none(differences_from_one_rank(c));
  }
}

TEST(Layout, RoundsInBf16AsOneRankDoes) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  for (const LayoutCase& c : cases()) {
    if (c.schedule != "1f1b" || c.sequence < 24) continue;
    SCOPED_TRACE(testing::Message() << c);
    expect_none(differences_in_bf16(c));
  }
}

TEST(Layout, RecomputationTakesLessMemoryAndChangesNoBit) {
  for (const LayoutCase& c : cases()) {
    if (c.partition != "even" || c.spans != LayoutCase{}.spans) continue;
    for (const char* const recompute : {"selective", "block", "block,none,selective,block"}) {
      SCOPED_TRACE(testing::Message() << c << ", then " << recompute);
      expect_none(differences_by_recomputation(c, recompute));
    }
  }
}

// The first parameter whose first tensor has a name with this ending.
template <class Parameters>
auto& parameter_named(Parameters& parameters, const std::string& ending) {
  for (auto& parameter : parameters) {
    if constexpr (requires { parameter.spec; }) {
      if (parameter.spec.tensors.front().name.ends_with(ending)) return parameter;
    } else {
      if (parameter.tensors.front().name.ends_with(ending)) return parameter;
    }
  }
  throw Error("no parameter " + ending);
}

struct Broken {
  const char* what;
  Mutation mutation;
};

// Changes every step of every layer's exchange that has calls with rows of other ranks.
std::function<void(StageSpec&)> with_steps(std::function<void(ExchangeStep&)> change) {
  return [change](StageSpec& stage) {
    for (const auto& layer : stage.layers) {
      auto* const attention = dynamic_cast<AttentionLayer*>(layer.get());
      if (attention == nullptr) continue;
      auto* const by_tokens = dynamic_cast<ContextAttention*>(&attention->attention());
      if (by_tokens == nullptr) continue;
      for (ExchangeStep& step : by_tokens->plan().steps) {
        if (!step.held.empty() && !step.calls.empty()) change(step);
      }
    }
  };
}

// Changes the exchange by heads of every layer that has one.
std::function<void(StageSpec&)> with_heads(std::function<void(HeadExchange&)> change) {
  return [change](StageSpec& stage) {
    for (const auto& layer : stage.layers) {
      auto* const attention = dynamic_cast<AttentionLayer*>(layer.get());
      if (attention == nullptr) continue;
      auto* const by_heads = dynamic_cast<HeadAttention*>(&attention->attention());
      if (by_heads != nullptr) change(by_heads->plan());
    }
  };
}

// Faults of the exchange by heads. All ranks still send and expect messages of the same sizes.
void add_broken_head_exchanges(std::vector<Broken>& all) {
  all.push_back(
      {"a rank exchanges the heads of two shares", {.stage = with_heads([](HeadExchange& plan) {
                                                      if (world().rank() == 0)
                                                        std::swap(plan.shares[0], plan.shares[1]);
                                                    })}});
  all.push_back({"the rows of two ranks change places",
                 {.stage = with_heads([](HeadExchange& plan) {
                    HeldSegment &first = plan.segments[0], &second = plan.segments[1];
                    std::swap(first.rank, second.rank);
                    std::swap(first.rows, second.rows);
                  })}});
  all.push_back({"a row stays behind", {.stage = with_heads([](HeadExchange& plan) {
                                          HeldSegment& segment = plan.segments.front();
                                          ++segment.rows.begin, ++segment.positions.begin;
                                        })}});
}

// In zigzag, every rank exchanges rows with every other in each step of a full layer, so all ranks
// can repeat the last one. From 3 ranks on, there are buffers for it.
void repeat_last_step(StageSpec& stage) {
  for (const auto& layer : stage.layers) {
    if (layer->kind() != "attention full") continue;
    auto& attention = dynamic_cast<AttentionLayer&>(*layer).attention();
    std::vector<ExchangeStep>& steps = dynamic_cast<ContextAttention&>(attention).plan().steps;
    const ExchangeStep last = steps.back();
    steps.push_back(last);
  }
}

// Faults of the exchange between context ranks.
void add_broken_exchanges(std::vector<Broken>& all) {
  all.push_back({"a halo is one row short", {.stage = with_steps([](ExchangeStep& step) {
                                               AttentionCall& call = step.calls.front();
                                               ++call.keys.begin, ++call.key_offset;
                                             })}});
  all.push_back({"a step computes nothing",
                 {.stage = with_steps([](ExchangeStep& step) { step.calls.clear(); })}});
  all.push_back(
      {"a step's result replaces the others",
       {.stage = with_steps([](ExchangeStep& step) { step.calls.back().merges = false; })}});
  all.push_back({"rows arrive at the wrong place", {.stage = with_steps([](ExchangeStep& step) {
                                                      step.calls.back().query_offset += 1;
                                                    })}});
  all.push_back({"gradients are averaged over the context ranks, not summed",
                 {.gradients = [](const auto& parameters) {
                   for (const Parameter& parameter : parameters) {
                     for_each_element(parameter.gradient, [](float& x, std::int64_t) { x /= 2; });
                   }
                 }}});
  all.push_back({"only the first context rank's rows count in the norm", {.stage = [](auto& stage) {
                   for (ParameterSpec& parameter : stage.parameters) {
                     parameter.primary = parameter.primary && parameter.owned.begin == 0;
                   }
                 }}});
}

// Faults that combinations of parallel axes are known to cause (Megatron-LM#7452, #1464), for the
// axes of this mesh.
std::vector<Broken> broken_runs(const LayoutCase& c) {
  std::vector<Broken> all{
      {"a window is one key too wide", {.spans = "full,window:6,block:8,window:16"}},
      {"a micro-batch counts twice, another never",
       {.micro_batch = [](int m) { return m == 1 ? 0 : m; }}},
      {"a gradient of q is doubled", {.gradients = [](const auto& parameters) {
         const Parameter& qkv = parameter_named(parameters, "q_proj.weight");
         const Tensor q = qkv.rows(qkv.gradient, qkv.spec.tensors.front());
         for_each_element(q, [](float& x, std::int64_t) { x *= 2; });
       }}}};
  if (c.mesh.tensor > 1) {
    all.push_back(
        {"a norm's gradient is not summed over the tensor ranks", {.stage = [](auto& stage) {
           parameter_named(stage.parameters, "ln_1.weight").partial = false;
         }}});
  }
  if (c.mesh.pipe > 1) {
    all.push_back({"the token table's gradients are not summed over first and last stage",
                   {.stage = [](auto& stage) { stage.shared_table.reset(); }}});
  }
  // The exchanges of batches with documents are planned anew, so changing a layer's has no effect.
  if (c.mesh.context > 2 && c.order == "zigzag" && c.documents.empty() && c.full == "ring") {
    all.push_back({"a step of a full layer is done twice", {.stage = repeat_last_step}});
  }
  if (c.mesh.context > 1 && c.documents.empty()) {
    c.full == "heads" ? add_broken_head_exchanges(all) : add_broken_exchanges(all);
  }
  if (!c.documents.empty()) {
    all.push_back({"a document starts one token late in the mask",
                   {.document_starts = [](auto& starts) { ++starts[1]; }}});
  }
  if (c.mesh.context > 1 && c.positions != PositionsKind::none) {
    all.push_back({"a context rank counts positions from its first row",
                   {.position = [](std::int64_t row, std::int64_t) { return row; }}});
  }
  if (c.mesh.data > 1) {
    const int own = c.samples / c.mesh.data / c.micro_batch;
    const int rank = c.mesh.coordinate(world().rank()).data;
    all.push_back({"all data ranks are fed what the first is",
                   {.micro_batch = [=](int m) { return m - own * rank; }}});
  }
  return all;
}

using Compare = std::vector<std::string> (*)(const LayoutCase&, const Mutation&);

// Some rank must find each fault, and none may find a fault in a correct run.
void expect_found(const LayoutCase& c, Compare compare) {
  SCOPED_TRACE(testing::Message() << c);
  const auto found = [&](const Mutation& mutation) {
    return sum_over(world(), double(compare(c, mutation).size()));
  };
  EXPECT_EQ(found({}), 0);
  for (const Broken& broken : broken_runs(c)) EXPECT_GT(found(broken.mutation), 0) << broken.what;
}

std::vector<LayoutCase> cases_to_break() {
  if (world().size() == 2) {
    return {
        {.mesh = {.tensor = 2}, .samples = 4, .steps = 3},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .steps = 3},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .steps = 3, .order = "zigzag"},
        {.mesh = {.context = 2}, .samples = 4, .sequence = 48, .steps = 3, .documents = "7,5,9"},
        {.mesh = {.context = 2},
         .samples = 4,
         .sequence = 48,
         .steps = 3,
         .positions = PositionsKind::rotary},
        {.mesh = {.context = 2},
         .samples = 4,
         .sequence = 48,
         .spans = "full,window:5,full,window:16",
         .steps = 3,
         .full = "heads"}};
  }
  if (world().size() == 4) {
    return {{.mesh = {.pipe = 2, .data = 2}, .steps = 3},
            {.mesh = {.context = 4},
             .samples = 4,
             .sequence = 48,
             .spans = "full,window:30,block:20,window:5",
             .steps = 3,
             .order = "zigzag",
             .positions = PositionsKind::rotary},
            {.mesh = {.context = 4},
             .samples = 4,
             .sequence = 48,
             .spans = "full,window:5,full,window:16",
             .steps = 3,
             .full = "heads"}};
  }
  return {};
}

TEST(Comparison, FindsEveryFaultMadeOnPurpose) {
  if (cases_to_break().empty()) GTEST_SKIP() << "two ranks and four are enough";
  for (const LayoutCase& c : cases_to_break()) expect_found(c, differences_from_one_rank);
}

// The same faults. The comparison in bf16 can't find a fault that changes a gradient by less than
// its rounding, such as a slightly wrong scale; the one in fp32 does.
TEST(Comparison, FindsEveryFaultMadeOnPurposeInBf16) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  if (cases_to_break().empty()) GTEST_SKIP() << "two ranks and four are enough";
  for (const LayoutCase& c : cases_to_break()) expect_found(c, differences_in_bf16);
}

}  // namespace
}  // namespace masformer::test
