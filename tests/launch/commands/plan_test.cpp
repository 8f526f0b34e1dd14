// `masformer plan`: what it chooses, and that training with its options does what it says.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

using Words = std::vector<std::string>;
using Json = nlohmann::json;

const Words small_model{"--model.spans",        "full,window:8,block:16,window:16",
                        "--model.hidden",       "32",
                        "--model.heads",        "4",
                        "--train.sequence",     "48",
                        "--train.global_batch", "8"};

Finished plan(const Words& more) {
  Words words{program(), "plan"};
  words.insert(words.end(), small_model.begin(), small_model.end());
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

Json planned(Words more) {
  more.emplace_back("--json");
  const Finished finished = plan(more);
  EXPECT_EQ(finished.status, 0) << finished.output;
  return Json::parse(finished.output, nullptr, false);
}

TEST(PlanCommand, PrintsTheKeysThatOtherToolsRead) {
  const Json json = planned({"--ranks", "4", "--model.vocab", "257", "--parallel.pipeline", "2",
                             "--parallel.tensor", "2"});
  EXPECT_EQ(json.at("layout"), (Json{{"tensor", 2}, {"pipeline", 2}, {"context", 1}, {"data", 1}}));
  EXPECT_EQ(json.at("layer_seconds").size(), 4U);
  EXPECT_EQ(json.at("stage_seconds").size(), 2U);
  EXPECT_EQ(json.at("partition").size(), 2U);
  double layers =
      json.at("embedding_seconds").get<double>() + json.at("head_seconds").get<double>();
  double stages = 0;
  for (const Json& seconds : json.at("layer_seconds")) layers += seconds.get<double>();
  for (const Json& seconds : json.at("stage_seconds")) stages += seconds.get<double>();
  EXPECT_NEAR(layers, stages, 1e-12 + 1e-9 * stages);
  EXPECT_GT(json.at("step_seconds").get<double>(), stages / 2);
  EXPECT_GE(json.at("bubble").get<double>(), 0);
  EXPECT_EQ(json.at("memory_bytes").size(), 2U);
  for (const Json& memory : json.at("memory_bytes")) {
    std::int64_t sum = 0;
    for (const auto& [kind, bytes] : memory.items()) {
      if (kind != "total") sum += bytes.get<std::int64_t>();
    }
    EXPECT_EQ(memory.at("total"), sum);
  }
  EXPECT_EQ(json.at("schedule"), json.at("options").at("parallel.schedule"));
}

// Chunks make the partition a list of lists, in the order of stages.
TEST(PlanCommand, ListsThePartsOfEachStage) {
  const Json json =
      planned({"--ranks", "2", "--model.vocab", "257", "--parallel.pipeline", "2",
               "--parallel.schedule", "interleaved", "--parallel.partition", "1,1,1,1"});
  EXPECT_EQ(json.at("partition"), (Json{{1, 1}, {1, 1}}));
}

// The plan takes an option from the store, and train takes the plan's options as they are. Memory
// and bytes are those that the run reports.
TEST(PlanCommand, PredictsMemoryAndBytesOfTheRunWithItsOptions) {
  const Scratch scratch;
  const std::vector<Words> layouts{
      {"--parallel.pipeline", "2", "--parallel.schedule", "1f1b"},
      {"--parallel.data", "2", "--train.micro_batch", "2"},
      {"--parallel.context", "2", "--parallel.context_order", "contiguous"},
      {"--parallel.pipeline", "2", "--parallel.schedule", "zero-bubble-v"},
      {"--parallel.tensor", "2", "--model.positions_kind", "rotary"},
      {"--parallel.tensor", "2", "--parallel.sequence_parallel", "false", "--train.recompute",
       "block"},
      // The head's last chunk is a part of one.
      {"--parallel.tensor", "2", "--train.sequence", "300", "--train.micro_batch", "2"}};
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    Words words{"--ranks", "2", "--data.path", scratch.store().string()};
    words.insert(words.end(), layouts[i].begin(), layouts[i].end());
    const Json json = planned(words);
    Training training{.options = layouts[i]};
    training.options.insert(training.options.end(), {"--train.steps", "2"});
    for (const auto& [name, value] : json.at("options").items()) {
      training.options.push_back("--" + name);
      training.options.push_back(value);
    }
    const Json& layout = json.at("layout");
    training.tensor = layout.at("tensor"), training.pipeline = layout.at("pipeline");
    training.data = layout.at("data"), training.context = layout.at("context");
    ASSERT_EQ(training.ranks(), 2);
    const std::string name = "run" + std::to_string(i);
    const Finished finished = train(scratch, name, training);
    ASSERT_EQ(finished.status, 0) << finished.output;
    const Json step = metrics(scratch, name).back();
    std::int64_t most = 0;
    for (const Json& memory : json.at("memory_bytes")) {
      most = std::max(most, memory.at("total").get<std::int64_t>());
    }
    EXPECT_EQ(step.at("peak_memory_bytes"), most) << name;
    for (const char* const axis : {"pipeline", "data", "context", "tensor"}) {
      EXPECT_EQ(step.at("sent_bytes").at(axis).get<double>(),
                json.at("sent_bytes").at(axis).get<double>())
          << name << ", " << axis;
    }
    const Json own = Json::parse(std::ifstream(scratch.path(name) / "plan.json"));
    EXPECT_EQ(own.at("options"), json.at("options")) << name;
    EXPECT_EQ(own.at("step_seconds"), json.at("step_seconds")) << name;
  }
}

TEST(PlanCommand, ChoosesTheLayoutThatTrainWithPlanTakes) {
  const Scratch scratch;
  const Words memory{"--plan.memory_gib", "1"};
  Words words{"--ranks", "2", "--data.path", scratch.store().string()};
  words.insert(words.end(), memory.begin(), memory.end());
  const Json json = planned(words);
  words = {program(),
           "run",
           "-n",
           "2",
           "--",
           "train",
           "--plan",
           "--train.steps",
           "1",
           "--data.path",
           scratch.store().string(),
           "--run.dir",
           scratch.path("run").string()};
  words.insert(words.end(), small_model.begin(), small_model.end());
  words.insert(words.end(), memory.begin(), memory.end());
  const Finished finished = run(words);
  ASSERT_EQ(finished.status, 0) << finished.output;
  const Json own = Json::parse(std::ifstream(scratch.path("run") / "plan.json"));
  EXPECT_EQ(own.at("options"), json.at("options"));
}

// A resumed run keeps its layout, although a search would find another one, as the first run of the
// other folder shows.
TEST(PlanCommand, TrainWithPlanKeepsTheLayoutOfItsCheckpoint) {
  const Scratch scratch;
  const auto layout = [&](const std::string& folder, const Words& more) {
    Words words{program(),
                "run",
                "-n",
                "2",
                "--",
                "train",
                "--plan",
                "--data.path",
                scratch.store().string(),
                "--run.dir",
                scratch.path(folder).string()};
    words.insert(words.end(), small_model.begin(), small_model.end());
    words.insert(words.end(), more.begin(), more.end());
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return Json::parse(std::ifstream(scratch.path(folder) / "plan.json")).at("options");
  };
  const Words slow{"--train.steps", "1", "--parallel.tensor", "2", "--parallel.context", "1"};
  const Json first = layout("run", slow);
  EXPECT_EQ(first.at("parallel.tensor"), "2");
  EXPECT_EQ(layout("run", {"--train.steps", "2"}), first);
  EXPECT_NE(layout("other", {"--train.steps", "1"}).at("parallel.tensor"), "2");
}

TEST(PlanCommand, ShowsTheNextBestAndWhyOthersAreRuledOut) {
  const Finished finished = plan({"--ranks", "3", "--model.vocab", "257"});
  EXPECT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("parallel.tensor=3 does not divide model.heads=4"),
            std::string::npos)
      << finished.output;
}

TEST(PlanCommand, SaysWhatItKept) {
  const auto expect_kept = [](const Words& more, const std::string& kept) {
    Words words{"--ranks", "2", "--model.vocab", "257"};
    words.insert(words.end(), more.begin(), more.end());
    const Finished finished = plan(words);
    EXPECT_NE(finished.output.find("\nKept as set: " + kept +
                                   ". The rest of the layout was searched for.\n"),
              std::string::npos)
        << finished.output;
  };
  expect_kept({}, "nothing");
  expect_kept({"--parallel.data", "0", "--parallel.partition", "auto"}, "nothing");
  expect_kept({"--train.micro_batch", "1", "--parallel.pipeline", "2"},
              "parallel.pipeline, train.micro_batch");
}

TEST(PlanCommand, DrawsThePipeline) {
  const Scratch scratch;
  const std::string file = scratch.path("step.svg").string();
  const Finished finished =
      plan({"--ranks", "2", "--model.vocab", "257", "--parallel.pipeline", "2",
            "--parallel.schedule", "1f1b", "--train.micro_batch", "2", "--timeline", file});
  EXPECT_EQ(finished.status, 0) << finished.output;
  std::ifstream stream(file);
  const std::string svg((std::istreambuf_iterator<char>(stream)), {});
  const auto count = [&](const std::string& text) {
    std::size_t found = 0;
    for (auto at = svg.find(text); at != std::string::npos; at = svg.find(text, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<title>forward of micro-batch"), 2U * 4);
  EXPECT_EQ(count("<title>backward of micro-batch"), 2U * 4);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(PlanCommand, SaysWhatASlowStageWouldCost) {
  Words words{
      "--ranks", "2", "--model.vocab", "257", "--parallel.pipeline", "2", "--parallel.schedule",
      "1f1b"};
  EXPECT_FALSE(planned(words).contains("what_if_step_seconds"));
  words.insert(words.end(), {"--straggler", "1:3"});
  const Json json = planned(words);
  const double usual = json.at("step_seconds"), slow = json.at("what_if_step_seconds");
  EXPECT_GT(slow, 1.5 * usual);
  EXPECT_LT(slow, 3 * usual);
  const Finished text = plan(words);
  EXPECT_NE(text.output.find("If stage 1 took 3 times as long, a step would take "),
            std::string::npos)
      << text.output;
}

TEST(PlanCommand, RefusesWhatItCannotPlan) {
  const auto expect = [](const Words& words, const std::string& message) {
    const Finished finished = plan(words);
    EXPECT_EQ(finished.status, 2);
    EXPECT_NE(finished.output.find(message), std::string::npos) << finished.output;
  };
  expect({}, "plan needs --ranks N: the number of ranks to plan for");
  expect({"--ranks", "2"}, "model.vocab is not set: set it, or data.path to take that of a token");
  expect({"--ranks", "1", "--model.vocab", "257", "--plan.memory_gib", "0.0001"},
         "no layout of 1 rank is possible with these options:");
  expect({"--ranks", "2", "--model.vocab", "257", "--plan.device", "b200"}, "plan.device");
  expect({"--ranks", "2", "--model.vocab", "257", "--parallel.pipeline", "2", "--straggler", "2:2"},
         "straggler=2:2 names stage 2, but the last pipeline stage is at most 1");
  expect({"--ranks", "2", "--model.vocab", "257", "--straggler", "1"},
         "straggler: \"1\" is not a stage and a factor above 0");
}

}  // namespace
}  // namespace masformer::test
