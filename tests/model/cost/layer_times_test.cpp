#include "model/cost/layer_times.h"

#include <cmath>

#include <gtest/gtest.h>

#include "model/cost/flops.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// GPT-Neo 1.3B with these spans.
ModelConfig gpt_neo_1_3b(std::string_view spans, std::int64_t positions) {
  return {.hidden = 2048,
          .vocab = 50257,
          .positions = positions,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 16}, GeluMlpSpec{8192})};
}

struct Case {
  Mesh mesh{};
  StagePolicy policy{.shape = {1, 8192}, .dtype = DType::bf16, .device = Device::cuda};
  std::string_view spans = "full*1,window:1024*1";
};

StageSpec stage_of(const Case& c, int rank = 0) {
  const ModelConfig config = gpt_neo_1_3b(c.spans, c.policy.shape.sequence);
  return {config, c.mesh, c.mesh.coordinate(rank), {{0, config.layers()}}, c.policy};
}

int layer_index(const StageSpec& stage, std::string_view kind) {
  for (std::size_t layer = 0; layer < stage.layers.size(); ++layer) {
    if (stage.layers[layer]->kind() == kind) return static_cast<int>(layer);
  }
  fail("no layer of kind {}", kind);
}

const DeviceFigures& h100() {
  return figures_named("h100");
}

PassSeconds of_kind(const Case& c, std::string_view kind) {
  const StageSpec stage = stage_of(c);
  return EstimatedTimes(h100(), c.policy.context_full).of(stage, layer_index(stage, kind));
}

TEST(DeviceFigures, HaveEveryRateAndAreFoundByName) {
  for (const DeviceFigures& row : device_figures()) {
    for (const DTypeFigures* figures : {&row.fp32, &row.bf16}) {
      EXPECT_GT(figures->peak, figures->product) << row.name;
      EXPECT_GT(figures->product, figures->attention_forward) << row.name;
      EXPECT_GT(figures->attention_forward, figures->attention_backward) << row.name;
      EXPECT_GT(figures->streamed, 0) << row.name;
    }
    EXPECT_GT(row.within_host.bytes_per_second, row.between_hosts.bytes_per_second) << row.name;
    EXPECT_EQ(&figures_named(row.name), &row);
    EXPECT_EQ(figures_of(row.device).device, row.device);
  }
  try {
    figures_named("h1000");
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "there are no figures for a device named h1000: use one of cpu, a100, h100, h200");
  }
}

// The rates that the hidden keys are derived from.
TEST(DeviceFigures, GiveTheMeasuredRatesOfAttention) {
  const auto rate = [](const DeviceFigures& figures, const Span& span, bool backward) {
    constexpr double tokens = 8192;
    const auto pairs = static_cast<double>(visible_pairs(span, 8192));
    const double hidden = backward ? figures.hidden_keys_backward : figures.hidden_keys_forward;
    const double full = backward ? figures.bf16.attention_backward : figures.bf16.attention_forward;
    return full * pairs / (pairs + hidden * tokens) / 1e12;
  };
  EXPECT_NEAR(rate(h100(), {}, false), 537, 2);
  EXPECT_NEAR(rate(h100(), {}, true), 426, 2);
  EXPECT_NEAR(rate(h100(), parse_span("window:1024"), false), 391, 2);
  EXPECT_NEAR(rate(h100(), parse_span("window:1024"), true), 282, 2);
}

TEST(LayerWork, ProductsAreThreeTimesThoseOfTheForward) {
  for (const Mesh& mesh : {Mesh{}, Mesh{.tensor = 2}, Mesh{.context = 2}}) {
    const StageSpec stage = stage_of({.mesh = mesh});
    for (const auto& layer : stage.layers) {
      double sum = 0;
      int attention = 0;
      for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
        const PassWork work = layer->work(pass);
        sum += work.product_flops();
        attention += work.attention_forwards + 2 * work.attention_backwards;
      }
      const LayerFlops flops = layer->forward_flops();
      EXPECT_DOUBLE_EQ(sum, 3 * flops.products) << layer->kind();
      EXPECT_EQ(attention, flops.per_pair > 0 ? 3 : 0) << layer->kind();
      EXPECT_EQ(layer->work(Pass::recompute).product_flops(), 0) << layer->kind();
    }
  }
}

TEST(LayerWork, CountsWhatIsComputedAgain) {
  Case c;
  const auto flops = [&](std::string_view kind, Pass pass) {
    const StageSpec stage = stage_of(c);
    return stage.layers[static_cast<std::size_t>(layer_index(stage, kind))]->work(pass);
  };
  const double product = flops("mlp", Pass::forward).product_flops() / 2;
  c.policy.recompute.assign(2, Recompute::selective);
  EXPECT_EQ(flops("attention full", Pass::recompute).attention_forwards, 1);
  EXPECT_EQ(flops("mlp", Pass::recompute).product_flops(), 0);
  c.policy.recompute.assign(2, Recompute::block);
  EXPECT_EQ(flops("attention full", Pass::recompute).product_flops(),
            flops("attention full", Pass::forward).product_flops());
  EXPECT_EQ(flops("mlp", Pass::recompute).product_flops(), product);
  // MLPs by blocks compute the first product again in the backward, and nothing before it.
  c.policy.ffn_block = 1024;
  EXPECT_EQ(flops("mlp", Pass::recompute).product_flops(), 0);
  EXPECT_EQ(flops("mlp", Pass::backward_input).product_flops(), 5 * product);
  EXPECT_EQ(flops("mlp", Pass::backward_weight).product_flops(), 0);
}

TEST(EstimatedTimes, EveryKindOfLayerTakesTime) {
  for (const DeviceFigures& figures : device_figures()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Case c;
      c.policy.dtype = dtype;
      const StageSpec stage = stage_of(c);
      for (std::size_t layer = 0; layer < stage.layers.size(); ++layer) {
        const PassSeconds seconds = EstimatedTimes(figures).of(stage, static_cast<int>(layer));
        EXPECT_GT(seconds.total(), 0) << figures.name << " " << stage.layers[layer]->kind();
        EXPECT_TRUE(std::isfinite(seconds.total()));
      }
    }
  }
}

// The head computes its loss and both gradients in one pass.
TEST(EstimatedTimes, PutTheHeadsWeightGradientInItsInputPass) {
  const PassSeconds head = of_kind({}, "head");
  EXPECT_EQ(head.backward_weight, 0);
  EXPECT_GT(head.backward_input, 100 * head.forward);
}

TEST(EstimatedTimes, RecomputationIsPartOfTheInputPass) {
  Case c;
  const PassSeconds none = of_kind(c, "attention full");
  c.policy.recompute.assign(2, Recompute::selective);
  const PassSeconds selective = of_kind(c, "attention full");
  c.policy.recompute.assign(2, Recompute::block);
  const PassSeconds block = of_kind(c, "attention full");
  EXPECT_EQ(selective.forward, none.forward);
  EXPECT_EQ(selective.backward_weight, none.backward_weight);
  EXPECT_GT(selective.backward_input, none.backward_input);
  EXPECT_DOUBLE_EQ(block.backward_input, none.backward_input + none.forward);
}

double block_flops(std::string_view span, std::int64_t sequence) {
  const ModelConfig config = gpt_neo_1_3b(span, sequence);
  const StageSpec stage(config, {}, {}, {{0, 1}}, {.shape = {1, sequence}});
  double sum = 0;
  for (const StageLayers layers : stage.chunks.front().blocks) {
    for (int layer = layers.begin; layer < layers.end; ++layer) {
      const LayerFlops flops = stage.layers[static_cast<std::size_t>(layer)]->forward_flops();
      sum += flops.products +
             flops.per_pair * static_cast<double>(visible_pairs(flops.span, sequence));
    }
  }
  return sum;
}

double block_seconds(std::string_view span, std::int64_t sequence, const DeviceFigures& figures) {
  const ModelConfig config = gpt_neo_1_3b(span, sequence);
  const StageSpec stage(config, {}, {}, {{0, 1}}, {.shape = {1, sequence}, .dtype = DType::bf16});
  PassSeconds sum;
  for (const StageLayers layers : stage.chunks.front().blocks) {
    for (int layer = layers.begin; layer < layers.end; ++layer) {
      sum += EstimatedTimes(figures).of(stage, layer);
    }
  }
  return sum.total();
}

TEST(Flops, OfAFullBlockOverAWindowedOneGrowWithTheSequence) {
  const auto ratio = [](std::int64_t sequence) {
    return block_flops("full", sequence) / block_flops("window:1024", sequence);
  };
  EXPECT_NEAR(ratio(8192), 1.24, 0.005);
  EXPECT_NEAR(block_flops("full", 8192) / block_flops("window:256", 8192), 1.31, 0.005);
  EXPECT_GE(ratio(32768), 1.9);
}

TEST(EstimatedTimes, OfAFullBlockOverAWindowedOneFollowTheFlops) {
  for (const DeviceFigures& figures : device_figures()) {
    const auto ratio = [&](std::int64_t sequence) {
      return block_seconds("full", sequence, figures) /
             block_seconds("window:1024", sequence, figures);
    };
    EXPECT_GT(ratio(8192), 1.15) << figures.name;
    EXPECT_GE(ratio(32768), 1.9) << figures.name;
    EXPECT_GT(ratio(131072), ratio(32768)) << figures.name;
  }
}

// Every token takes part in the products of 24 h^2 weights, and 4 h operations per visible key.
TEST(Flops, OfABlockAreTheClosedForm) {
  constexpr double hidden = 2048, tokens = 8192;
  EXPECT_EQ(block_flops("full", 8192),
            tokens * 24 * hidden * hidden + 4 * hidden * tokens * (tokens + 1) / 2);
  constexpr double window = 1024;
  const double pairs = window * (window + 1) / 2 + (tokens - window) * window;
  EXPECT_EQ(block_flops("window:1024", 8192), tokens * 24 * hidden * hidden + 4 * hidden * pairs);
}

// Documents that are masked are sequences of their own.
TEST(Flops, OfPackedDocumentsAreTheClosedForm) {
  const ModelConfig config = gpt_neo_1_3b("full,window:4", 64);
  double pairs = 0;
  for (const double length : {10.0, 3.0, 51.0}) {
    const double seen = std::min(length, 4.0);
    pairs += length * (length + 1) / 2 + seen * (seen + 1) / 2 + (length - seen) * 4;
  }
  const double products = 64 * (2 * 24.0 * 2048 * 2048 + 2.0 * 2048 * 50257);
  EXPECT_DOUBLE_EQ(SequenceFlops(config, 64).forward({0, 10, 13}), products + 4 * 2048 * pairs);
}

TEST(EstimatedTimes, ShrinkWithTheRanksThatShareALayer) {
  const double alone = of_kind({}, "attention full").total();
  const double tensor = of_kind({.mesh = {.tensor = 4}}, "attention full").total();
  EXPECT_LT(tensor, alone / 2);
  EXPECT_GT(tensor, alone / 4) << "exchanges take time";
  Case context{.mesh = {.context = 4}};
  const double contiguous = of_kind(context, "attention full").total();
  context.policy.sharding = SequenceSharding::zigzag(8192, 4);
  const double zigzag = of_kind(context, "attention full").total();
  EXPECT_LT(zigzag, contiguous) << "the last rank sees the most";
  EXPECT_GT(zigzag, alone / 4);
  // A window of 1,024 needs the rows of one neighbour, a full layer those of all.
  EXPECT_LT(of_kind(context, "attention window:1024").forward, of_kind(context, "mlp").forward);
}

// On links whose messages take a second each and whose bytes take no time. Of four ranks, each
// sends to three others.
TEST(EstimatedTimes, CountTheTensorSumsOfTheHead) {
  const Case c{.mesh = {.tensor = 4}};
  const StageSpec stage = stage_of(c);
  const int head = layer_index(stage, "head");
  const PassWork work = stage.layers[static_cast<std::size_t>(head)]->work(Pass::backward_input);
  double messages = 3 * work.exchanges;
  for (const TensorSum& sum : work.sums) messages += 2 * 3 * static_cast<double>(sum.count);
  EXPECT_GE(messages, 3 * 2 + 2 * 3 * 2) << "the input gradient, the maxima, the sums";
  DeviceFigures slow = h100(), none = h100();
  slow.within_host = {.message_seconds = 1, .bytes_per_second = 1e30};
  none.within_host = {.message_seconds = 0, .bytes_per_second = 1e30};
  const auto seconds = [&](const DeviceFigures& figures) {
    return EstimatedTimes(figures, c.policy.context_full).of(stage, head).backward_input;
  };
  EXPECT_NEAR(seconds(slow) - seconds(none), messages, 1e-9 * messages);
}

TEST(EstimatedTimes, GrowWithSamplesAndShrinkWithTheDType) {
  Case c;
  const double one = of_kind(c, "attention full").total();
  c.policy.shape.samples = 4;
  EXPECT_NEAR(of_kind(c, "attention full").total() / one, 4, 0.05);
  c.policy.shape.samples = 1;
  c.policy.dtype = DType::f32;
  EXPECT_GT(of_kind(c, "attention full").total(), 5 * one);
}

}  // namespace
}  // namespace masformer
