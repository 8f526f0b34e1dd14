// Options within their limits whose products are too large to plan.
#include "launch/plan/plan_size.h"

#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "launch/options/limits.h"
#include "launch/plan/run_plan.h"
#include "runtime/arena.h"

namespace masformer {
namespace {

using Change = std::function<void(Options&, ModelConfig&)>;

struct Case {
  Change change;
  std::int64_t micro_batches;
  std::vector<std::string> messages;
};

std::vector<BlockSpec> blocks_of(std::size_t layers, std::int64_t heads, std::int64_t ffn) {
  return blocks_of_spans(std::vector<Span>(layers), {.heads = heads}, GeluMlpSpec{ffn});
}

std::vector<std::string> violations_of(const Case& c) {
  Options options;
  ModelConfig model{.hidden = 64, .vocab = 300, .positions = 1024, .blocks = blocks_of(4, 4, 256)};
  c.change(options, model);
  return size_violations(options, model, Purpose::training, c.micro_batches);
}

void set_largest(Options& o, ModelConfig& model) {
  model.blocks = blocks_of(limits::layers, limits::width, 4 * limits::width);
  model.hidden = limits::width;
  model.vocab = model.positions = limits::tokens;
  o.train.sequence = limits::tokens;
  o.train.micro_batch = 7;
}

TEST(PlanSize, RefusesProductsThatExceedTheirBound) {
  const std::vector<Case> all{
      {[](auto&, auto&) {}, 8, {}},
      {[](auto&, auto& model) { model.hidden = 1; }, max_planned_passes / 4, {}},
      {[](auto& o, auto&) { o.train.global_batch = 262145; },
       262145,
       {"train.global_batch=262145 makes 262145 micro-batches per data rank, for 4 layers: layers "
        "x "
        "micro-batches may be at most 1048576; raise train.micro_batch or parallel.data"}},
      {[](auto& o, auto&) { o.train.micro_batch = 1 << 28, o.train.sequence = 8; },
       1,
       {"train.micro_batch=268435456 x train.sequence=8 is more than 2147483647 tokens: lower one "
        "of them"}},
      {[](auto& o, auto&) {
         o.train.steps = limits::steps, o.train.global_batch = limits::samples;
         o.train.sequence = 1 << 6;
       },
       1,
       {"train.steps=1000000000000 x train.global_batch=268435456 x train.sequence=64 is more than "
        "9223372036854775807 tokens: lower train.steps"}},
      {set_largest,
       1,
       {"1 micro-batches of train.micro_batch=7 x train.sequence=268435456 tokens in 4096 layers "
        "of "
        "width 1048576 take more than 1 EiB of activations: lower one of them"}},
      {[](auto& o, auto& model) {
         o.train.sequence = 1 << 28, o.runtime.deterministic = true;
         model.blocks = blocks_of(1, 8, 256);
       },
       1,
       {"runtime.deterministic=true takes more than 1 EiB for the pairs of tokens of "
        "train.micro_batch=1 x train.sequence=268435456 in 8 heads: lower one of them"}}};
  for (const Case& c : all) EXPECT_EQ(violations_of(c), c.messages);
}

// An evaluation derives its micro-batches from the stages.
TEST(PlanSize, BlamesTheStagesOfAnEvaluation) {
  Options options;
  options.parallel.pipeline = 512;
  const ModelConfig model{
      .hidden = 64, .vocab = 300, .positions = 1024, .blocks = blocks_of(4096, 4, 256)};
  EXPECT_EQ(size_violations(options, model, Purpose::evaluation, 512),
            std::vector<std::string>{
                "parallel.pipeline=512 makes 512 micro-batches per data rank, for 4096 layers: "
                "layers x micro-batches may be at most 1048576; lower parallel.pipeline"});
}

// A checkpoint or a token store may hold what no option accepts.
TEST(PlanSize, HoldsTheModelToTheLimitsOfTheOptions) {
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::string> said = violations_of({[&](Options&, ModelConfig& model) {
                                                         model.blocks = blocks_of(5000, huge, huge);
                                                         model.hidden = model.vocab = huge;
                                                         model.positions = huge;
                                                       },
                                                       1,
                                                       {}});
  EXPECT_EQ(said, (std::vector<std::string>{
                      "model.spans names 5000 layers: at most 4096",
                      "model.hidden=9223372036854775807 is too large: at most 1048576",
                      "model.heads=9223372036854775807 is too large: at most 1048576",
                      "model.ffn=9223372036854775807 is too large: at most 4194304",
                      "model.vocab=9223372036854775807 is too large: at most 268435456",
                      "model.positions=9223372036854775807 is too large: at most 268435456"}));
}

// The bound on activations is an estimate; it must not be less than what the layers register.
TEST(PlanSize, CountsAtLeastTheBuffersThatABlockDeclares) {
  Options options;
  options.model.layers = 1;
  for (const auto& [hidden, ffn] : {std::pair(64, 1), std::pair(1, 64), std::pair(128, 512)}) {
    options.model.hidden = hidden, options.model.ffn = ffn, options.model.heads = hidden;
    options.train.sequence = 64;
    const RunPlan plan = make_run_plan(options, 1, 16);
    std::int64_t bytes = 0;
    for (const BufferSpec& buffer : plan.describe_stage({}).buffers) {
      bytes += Arena::footprint(buffer.shape, buffer.dtype);
    }
    EXPECT_LE(bytes, 32 * 4 * options.train.sequence * (hidden + ffn)) << hidden << " " << ffn;
  }
}

}  // namespace
}  // namespace masformer
