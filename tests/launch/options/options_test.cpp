// The options of `masformer train`, each by name: all that follows from a declaration works for it.
#include "launch/options/options.h"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/support/option_sources.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;

std::vector<std::string> names_of_train() {
  Options options;
  std::vector<std::string> names;
  for (const auto& [name, value] : describe(options).record()) names.push_back(name);
  return names;
}

class TrainOption : public testing::TestWithParam<std::string> {};

TEST_P(TrainOption, TakesItsDefaultFromEverySource) {
  for (const Source source : {Source::command_line, Source::environment, Source::file}) {
    Options options;
    OptionTable table = describe(options);
    const auto defaults = table.record();
    const Said said(source, GetParam(), defaults.at(GetParam()));
    table.parse(said.words);
    EXPECT_EQ(table.record(), defaults);
    for (const auto& [name, value] : defaults) EXPECT_EQ(table.was_set(name), name == GetParam());
  }
}

TEST_P(TrainOption, IsInTheHelpWithItsDefault) {
  Options options;
  const OptionTable table = describe(options);
  std::string line;
  for (const std::string& candidate : lines_of(table.help())) {
    if (candidate.starts_with("  --" + GetParam() + " ")) line = candidate;
  }
  std::string value, help;
  std::istringstream words(line.substr(std::min(line.size(), GetParam().size() + 4)));
  words >> value >> help;
  EXPECT_FALSE(help.empty()) << line;
  const std::string initial = table.record().at(GetParam());
  EXPECT_EQ(line.find(" Default: " + initial + ".") != std::string::npos, !initial.empty()) << line;
  EXPECT_EQ(line.ends_with(" Fixed for a run."),
            table.on_resume(GetParam()) == OnResume::must_match);
}

TEST_P(TrainOption, SurvivesARecordWithAnotherValue) {
  Options options;
  OptionTable table = describe(options);
  const auto defaults = table.record();
  for (const char* const text :
       {"7", "0.125", "false", "some text", "1/sqrt(d)", "gpipe", "on", "fp32", "cpu", "mpi"}) {
    if (!refusal([&] { table.parse({"--" + GetParam(), text}); }).empty()) continue;
    Options again;
    OptionTable read = describe(again);
    read.apply_record(table.record());
    EXPECT_EQ(read.record(), table.record());
    EXPECT_EQ(read.record().at(GetParam()), text);
    return;
  }
  ADD_FAILURE() << GetParam() << " takes no text of the list";
}

INSTANTIATE_TEST_SUITE_P(All, TrainOption, testing::ValuesIn(names_of_train()),
                         [](const auto& option) {
                           return environment_name(option.param).substr(10);
                         });

TEST(TrainOptions, KeepTheNamesThatOtherToolsSet) {
  const std::vector<std::string> names = names_of_train();
  for (const char* const name : {"model.layers",
                                 "model.hidden",
                                 "model.heads",
                                 "model.ffn",
                                 "model.vocab",
                                 "model.positions",
                                 "model.spans",
                                 "parallel.tensor",
                                 "parallel.pipeline",
                                 "parallel.context",
                                 "parallel.data",
                                 "parallel.schedule",
                                 "parallel.partition",
                                 "train.steps",
                                 "train.sequence",
                                 "train.global_batch",
                                 "train.micro_batch",
                                 "train.lr",
                                 "train.seed",
                                 "train.dtype",
                                 "data.path",
                                 "run.dir",
                                 "checkpoint.every",
                                 "checkpoint.keep",
                                 "checkpoint.resume",
                                 "checkpoint.init",
                                 "train.dump_gradients_at",
                                 "eval.every",
                                 "runtime.device"}) {
    EXPECT_EQ(std::ranges::count(names, name), 1) << name;
  }
}

}  // namespace
}  // namespace masformer
