// Every option of `masformer train`: everything that follows from its declaration works.
#include "launch/options/options.h"

#include <algorithm>
#include <fstream>

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
  std::string value, help;  // the text after its name, and the lines below
  bool own = false;
  for (const std::string& line : lines_of(table.help())) {
    EXPECT_LE(line.size(), 80u) << line;
    if (!line.starts_with("        ")) own = line.starts_with("  --" + GetParam() + " ");
    if (!own) continue;
    if (line.starts_with("  --")) {
      value = line.substr(GetParam().size() + 5);
    } else {
      help += line.substr(7);
    }
  }
  EXPECT_FALSE(value.empty());
  EXPECT_FALSE(help.empty());
  const std::string initial = table.record().at(GetParam());
  EXPECT_EQ(help.find(" Default: " + initial + ".") != std::string::npos, !initial.empty()) << help;
  EXPECT_EQ(help.ends_with(" Fixed for a run."),
            table.on_resume(GetParam()) == OnResume::must_match);
}

TEST_P(TrainOption, SurvivesARecordWithAnotherValue) {
  Options options;
  OptionTable table = describe(options);
  const auto defaults = table.record();
  for (const char* const text : {"7", "0.125", "false", "some text", "1/sqrt(d)", "gpipe", "on",
                                 "fp32", "cpu", "mpi", "zigzag", "rotary", "heads"}) {
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

TEST_P(TrainOption, HasAMaximumIfItIsAWholeNumber) {
  const auto said = [&](const std::string& text) {
    Options options;
    OptionTable table = describe(options);
    return refusal([&] { table.parse({"--" + GetParam(), text}); });
  };
  if (said("x") != GetParam() + "=x is not a whole number") GTEST_SKIP() << "not a whole number";
  if (GetParam() == "train.seed")
    return;  // nothing is computed from it, so every integer is accepted
  // A number that would be 1 in 32 bits, and the largest number.
  for (const char* const text : {"4611686018427387905", "9223372036854775807"}) {
    EXPECT_TRUE(said(text).starts_with(GetParam() + "=" + text + " is too large: at most "))
        << said(text);
  }
}

TEST_P(TrainOption, FitsInFp32IfItIsARealNumber) {
  Options options;
  OptionTable table = describe(options);
  const std::string said = refusal([&] { table.parse({"--" + GetParam(), "x"}); });
  if (said != GetParam() + "=x is not a number") GTEST_SKIP() << "not a real number";
  if (GetParam() == "train.clip") return;  // only fp64 is computed from it
  EXPECT_TRUE(refusal([&] {
                table.parse({"--" + GetParam(), "1e39"});
              }).starts_with(GetParam() + "=1e39 is too large: at most "));
}

INSTANTIATE_TEST_SUITE_P(All, TrainOption, testing::ValuesIn(names_of_train()),
                         [](const auto& option) {
                           return environment_name(option.param).substr(10);
                         });

// The table of docs/resuming.md, "What may change on a resume": whether the row of an option or of
// its section ("log.*") says "yes". Throws if it has no row.
bool documented_as_changeable(const std::string& option) {
  std::ifstream document(MASFORMER_SOURCE_DIR "/docs/resuming.md");
  const std::string section = "`" + option.substr(0, option.find('.')) + ".*`";
  bool there = false;  // below the heading
  for (std::string line; std::getline(document, line);) {
    there |= line == "## What may change on a resume";
    if (!there) continue;
    const auto answer = line.find(" | ");
    if (!line.starts_with("| `") || answer == std::string::npos) continue;
    const std::string names = line.substr(0, answer);
    if (names.find('`' + option + '`') == std::string::npos &&
        names.find(section) == std::string::npos)
      continue;
    const std::string rest = line.substr(answer + 3);
    return rest.starts_with("yes") || rest.find("except `" + option + '`') != std::string::npos;
  }
  fail("docs/resuming.md does not say whether {} may change on a resume", option);
}

TEST_P(TrainOption, IsFixedForARunIfTheDocumentSaysSo) {
  Options options;
  const OptionTable table = describe(options);
  EXPECT_EQ(documented_as_changeable(GetParam()),
            table.on_resume(GetParam()) == OnResume::may_change);
}

TEST(TrainOptions, KeepTheNamesThatOtherToolsSet) {
  const std::vector<std::string> names = names_of_train();
  for (const char* const name : {"model.layers",
                                 "model.hidden",
                                 "model.heads",
                                 "model.ffn",
                                 "model.vocab",
                                 "model.positions",
                                 "model.positions_kind",
                                 "model.rotary_theta",
                                 "model.rotary_theta_window",
                                 "model.spans",
                                 "parallel.tensor",
                                 "parallel.pipeline",
                                 "parallel.context",
                                 "parallel.context_order",
                                 "parallel.context_full",
                                 "parallel.data",
                                 "parallel.schedule",
                                 "parallel.chunks",
                                 "parallel.partition",
                                 "train.steps",
                                 "train.sequence",
                                 "train.global_batch",
                                 "train.micro_batch",
                                 "train.lr",
                                 "train.seed",
                                 "train.dtype",
                                 "train.ffn_block",
                                 "data.path",
                                 "run.dir",
                                 "checkpoint.every",
                                 "checkpoint.keep",
                                 "checkpoint.resume",
                                 "checkpoint.init",
                                 "train.dump_gradients_at",
                                 "eval.every",
                                 "plan.memory_gib",
                                 "plan.profile",
                                 "runtime.device"}) {
    EXPECT_EQ(std::ranges::count(names, name), 1) << name;
  }
}

}  // namespace
}  // namespace masformer
