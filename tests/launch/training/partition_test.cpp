// The partition of runs: chosen by cost, recorded in checkpoints, and kept on a resume.
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "launch/training/plan_agreement.h"
#include "parallel/checkpoint/manifest.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

using Counts = std::vector<int>;

// Full layers at one end, and a sequence that is long beside the width.
Training bunched(int pipeline, std::vector<std::string> options = {}) {
  options.insert(options.begin(), {"--model.spans", "full*3,window:16*5", "--model.hidden", "16",
                                   "--model.heads", "2", "--train.sequence", "1024",
                                   "--train.global_batch", "4", "--train.steps", "4"});
  return {.pipeline = pipeline, .options = options};
}

Counts recorded_counts(const Scratch& scratch, const std::string& run_dir, int step) {
  return read_manifest(checkpoint(scratch, run_dir, step)).attributes.at("partition");
}

double loss(const Scratch& scratch, const std::string& run_dir, std::size_t step) {
  return metrics(scratch, run_dir)[step]["loss"];
}

TEST(AutoPartition, IsUnevenForBunchedFullLayersAndTrainsAsOneRankDoes) {
  const Scratch scratch;
  const Finished uneven = train(scratch, "uneven", bunched(2));
  ASSERT_EQ(uneven.status, 0) << uneven.output;
  ASSERT_EQ(train(scratch, "alone", bunched(1)).status, 0);
  const Counts counts = recorded_counts(scratch, "uneven", 4);
  EXPECT_LT(counts[0], 4) << counts[0] << " blocks on the stage with the full layers";
  EXPECT_EQ(counts[0] + counts[1], 8);
  EXPECT_NE(uneven.output.find("partition auto; by the cost model a step takes "),
            std::string::npos)
      << uneven.output;
  EXPECT_NEAR(loss(scratch, "uneven", 0) / loss(scratch, "alone", 0), 1, 5e-7);
  EXPECT_NEAR(loss(scratch, "uneven", 3) / loss(scratch, "alone", 3), 1, 5e-6);
  EXPECT_EQ(recorded_counts(scratch, "alone", 4), Counts{8});
}

TEST(AutoPartition, OfACheckpointIsKeptUnderTheSameLayout) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", bunched(2, {"--parallel.partition", "5,3"})).status, 0);
  const Finished resumed = train(scratch, "run", bunched(2, {"--train.steps", "5"}));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("partition as before; "), std::string::npos) << resumed.output;
  EXPECT_EQ(recorded_counts(scratch, "run", 5), (Counts{5, 3}));
  // Another run is solved again.
  ASSERT_EQ(train(scratch, "run", bunched(2, {"--checkpoint.resume", "none"})).status, 0);
  EXPECT_NE(recorded_counts(scratch, "run", 4), (Counts{5, 3}));
}

// Without a record, the run would be planned with the other exchange, as the first start was.
TEST(AutoExchange, OfACheckpointIsKeptUnderTheSameLayout) {
  const Scratch scratch;
  const auto recorded = [&](const std::string& run_dir, int step) {
    return read_manifest(checkpoint(scratch, run_dir, step))
        .attributes.at("context_full")
        .get<std::string>();
  };
  Training training = bunched(1);
  training.context = 2;
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  const std::string chosen = recorded("run", 4), other = chosen == "ring" ? "heads" : "ring";
  training.options.insert(training.options.end(), {"--parallel.context_full", other});
  ASSERT_EQ(train(scratch, "other", training).status, 0);
  training.options.resize(training.options.size() - 2);
  training.options.insert(training.options.end(), {"--train.steps", "5"});
  ASSERT_EQ(train(scratch, "other", training).status, 0);
  EXPECT_EQ(recorded("other", 5), other);
  // Another run chooses again.
  training.options.insert(training.options.end(), {"--checkpoint.resume", "none"});
  ASSERT_EQ(train(scratch, "other", training).status, 0);
  EXPECT_EQ(recorded("other", 5), chosen);
}

// The first run times layers, the second takes its times. Both compute what one without a profile
// computes.
TEST(Profile, IsMeasuredOnceAndDividesTheBlocks) {
  const Scratch scratch;
  ASSERT_EQ(setenv("XDG_CACHE_HOME", scratch.path("cache").c_str(), 1), 0);
  const Training profiled = bunched(2, {"--plan.profile", "true"});
  const Finished first = train(scratch, "first", profiled);
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_NE(first.output.find("timed each kind of layer\n"), std::string::npos) << first.output;
  EXPECT_NE(first.output.find("partition auto; by measured times a step takes "), std::string::npos)
      << first.output;
  const Finished second = train(scratch, "second", profiled);
  ASSERT_EQ(second.status, 0) << second.output;
  EXPECT_NE(second.output.find("takes the times of layers from "), std::string::npos)
      << second.output;
  EXPECT_EQ(timeless_metrics(scratch, "first"), timeless_metrics(scratch, "second"));
  EXPECT_EQ(recorded_counts(scratch, "first", 4), recorded_counts(scratch, "second", 4));
  EXPECT_LT(recorded_counts(scratch, "first", 4)[0], 4);
  // Other shapes have other times.
  const Finished other =
      train(scratch, "other", bunched(2, {"--plan.profile", "true", "--train.micro_batch", "2"}));
  ASSERT_EQ(other.status, 0) << other.output;
  EXPECT_NE(other.output.find("timed each kind of layer\n"), std::string::npos) << other.output;
}

// `masformer plan` takes the times that a run has left, for the shape that they are of.
TEST(Profile, IsWhatAPlanOfTheSameShapeIsMadeFrom) {
  const Scratch scratch;
  ASSERT_EQ(setenv("XDG_CACHE_HOME", scratch.path("cache").c_str(), 1), 0);
  const auto planned = [&](std::vector<std::string> more) {
    const Training training = bunched(2, {"--parallel.schedule", "1f1b"});
    std::vector<std::string> words{program(), "plan", "--ranks", "2", "--runtime.threads", "1"};
    words.insert(words.end(),
                 {"--data.path", scratch.store().string(), "--train.micro_batch", "1"});
    words.insert(words.end(), training.options.begin(), training.options.end());
    words.insert(words.end(), more.begin(), more.end());
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return finished.output;
  };
  const std::vector<std::string> shape{
      "--parallel.tensor", "1", "--parallel.context", "1", "--parallel.pipeline", "2", "--json"};
  const auto json = [&](const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = shape;
    words.insert(words.end(), more.begin(), more.end());
    return nlohmann::json::parse(planned(words), nullptr, false);
  };
  EXPECT_EQ(json().at("costs"), "the cost model");
  const Finished trained = train(scratch, "run", bunched(2, {"--plan.profile", "true"}));
  ASSERT_EQ(trained.status, 0) << trained.output;
  const auto own = nlohmann::json::parse(std::ifstream(scratch.path("run") / "plan.json"));
  EXPECT_EQ(own.at("costs"), "measured times");
  const nlohmann::json measured = json();
  EXPECT_EQ(measured.at("costs"), "measured times");
  for (const char* const key : {"options", "layer_seconds", "step_seconds"}) {
    EXPECT_EQ(measured.at(key), own.at(key)) << key;
  }
  EXPECT_GT(json({"--straggler", "0:2"}).at("what_if_step_seconds"), measured.at("step_seconds"));
  // The schedule is searched by the same times.
  EXPECT_EQ(json({"--parallel.schedule", "zero-bubble"}).at("costs"), "measured times");
  // Other shapes, other devices, and a choice among shapes are estimated.
  EXPECT_EQ(json({"--train.micro_batch", "2"}).at("costs"), "the cost model");
  EXPECT_EQ(json({"--plan.device", "cpu"}).at("costs"), "the cost model");
  EXPECT_EQ(nlohmann::json::parse(planned({"--parallel.pipeline", "2", "--json"})).at("costs"),
            "the cost model");
  std::vector<std::string> text = shape;
  text.pop_back();
  EXPECT_NE(planned(text).find("ranks on cpu, by times of layers that were measured here, from "),
            std::string::npos);
}

TEST(Profile, WorksUnderEveryKindOfLayout) {
  const Scratch scratch;
  ASSERT_EQ(setenv("XDG_CACHE_HOME", scratch.path("cache").c_str(), 1), 0);
  Training training =
      bunched(2, {"--plan.profile", "true", "--train.steps", "1", "--data.document_mask", "true"});
  training.context = 2;
  EXPECT_EQ(train(scratch, "context", training).status, 0);
  training.context = 1;
  training.tensor = 2;
  EXPECT_EQ(train(scratch, "tensor", training).status, 0);
  training.tensor = 1;
  training.data = 2;
  EXPECT_EQ(train(scratch, "data", training).status, 0);
}

nlohmann::json attributes(const std::string& partition) {
  return {{"mesh", "pipeline 2"},
          {"context_order", "zigzag"},
          {"model", {{"layers", 8}}},
          {"options", {{"parallel.pipeline", "2"}, {"parallel.partition", partition}}}};
}

TEST(RecordedLayout, OfOlderCheckpointsIsWhatTheirOptionsMeant) {
  const auto counts = [](const nlohmann::json& from) { return recorded_layout(from)->counts; };
  EXPECT_EQ(counts(attributes("auto")), (Counts{4, 4})) << "auto meant even";
  EXPECT_EQ(counts(attributes("6,2")), (Counts{6, 2}));
  nlohmann::json newer = attributes("auto");
  newer["partition"] = {3, 5};
  EXPECT_EQ(counts(newer), (Counts{3, 5}));
  EXPECT_EQ(recorded_layout(newer)->mesh, "pipeline 2");
  EXPECT_EQ(recorded_layout(newer)->context_order, "zigzag");
  EXPECT_EQ(recorded_layout(newer)->context_full, "ring") << "what older versions did";
  newer["options"]["parallel.context_full"] = "heads";
  EXPECT_EQ(recorded_layout(newer)->context_full, "heads");
  newer["options"]["parallel.context_full"] = "auto";
  newer["context_full"] = "ring";
  EXPECT_EQ(recorded_layout(newer)->context_full, "ring");
  EXPECT_TRUE(recorded_layout(newer)->actions.empty());
  newer["actions"] = {"F0 B0", "F0 B0"};
  EXPECT_EQ(recorded_layout(newer)->actions.size(), 2U);
  EXPECT_FALSE(recorded_layout(nullptr));
}

}  // namespace
}  // namespace masformer::test
