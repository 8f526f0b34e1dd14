// Options from three sources: which one wins, what is refused and how, and that a record reads back
// the same values.
#include "launch/options/option_table.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "tests/support/option_sources.h"
#include "tests/support/refusal.h"

namespace masformer {

#define MASFORMER_TEST_COLORS(COLOR) COLOR(red, "red") COLOR(blue, "blue") COLOR(pink, "pink")
MASFORMER_NAMED_ENUM(TestColor, MASFORMER_TEST_COLORS);

namespace {

using namespace test;
using Words = std::vector<std::string>;
using testing::Values;

struct Sample {
  std::string text = "start", kind = "soft";
  std::int64_t count = 3, few = 2;
  double real = 0.5, any = 0;
  bool yes = false, flag = false;
  TestColor color = TestColor::blue;
  std::optional<TestColor> shade;
  Words list, words;
  OptionTable table;

  Sample() {
    table.add("my.text", text, {.value = "T", .help = "A text."});
    table.add("my.kind", kind, {.value = "K", .help = "A kind.", .choices = {"soft", "hard"}});
    table.add("my.count", count, {1, std::numeric_limits<std::int64_t>::max()},
              {.value = "N", .help = "A count.", .on_resume = OnResume::must_match});
    table.add("my.few", few, {-8, 8}, {.value = "N", .help = "A small number."});
    table.add("my.real", real, {0, 1}, {.value = "X", .help = "A share."});
    table.add("my.any_real", any,
              {std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max()},
              {.value = "X", .help = "Any number."});
    table.add("my.yes", yes, {.value = "BOOL", .help = "Whether."});
    table.add("my.color", color, {.value = "C", .help = "A color."},
              {TestColor::red, TestColor::blue});
    table.add("my.shade", shade, {.value = "C", .help = "A color, or auto."});
    table.add_flag("flag", flag, "A flag.");
    table.add_list("list", list, {.value = "L...", .help = "Several."});
    table.allow_config();
  }
  void add_words() { table.add_positional("WORDS", words, {.help = "The rest."}); }
};

class OptionSources : public testing::Test {
 protected:
  // Writes a configuration file of this content. Returns the arguments that name it.
  Words config(const std::string& content) const {
    std::ofstream(path()) << content;
    return {"--config", path()};
  }
  std::string path() const { return (directory_ / "options.ini").string(); }

 private:
  TemporaryDirectory directory_;
};

TEST_F(OptionSources, CommandLineWinsOverEnvironmentOverFile) {
  for (int sources = 0; sources < 8; ++sources) {
    Sample sample;
    std::int64_t expected = 3;
    Words words = config(sources & 1 ? "[my]\ncount = 10 # of ten\n" : "# nothing\n");
    if (sources & 1) expected = 10;
    std::deque<Variable> variables;
    if (sources & 2) variables.emplace_back("MASFORMER_MY_COUNT", std::to_string(expected = 20));
    if (sources & 4) words.insert(words.end(), {"--my.count", std::to_string(expected = 30)});
    sample.table.parse(words);
    EXPECT_EQ(sample.count, expected) << sources;
    EXPECT_EQ(sample.table.was_set("my.count"), sources != 0) << sources;
    EXPECT_FALSE(sample.table.was_set("my.real"));
    EXPECT_EQ(sample.real, 0.5);
  }
}

TEST_F(OptionSources, LastValueWinsOnTheCommandLine) {
  Sample sample;
  sample.table.parse({"--my.count", "4", "--my.real=0.25", "--my.count=5", "--my.yes", "true"});
  EXPECT_EQ(sample.count, 5);
  EXPECT_EQ(sample.real, 0.25);
  EXPECT_TRUE(sample.yes);
  // A value that a later one replaces is not checked.
  sample.table.parse({"--my.count", "wrong", "--my.count", "6"});
  EXPECT_EQ(sample.count, 6);
}

TEST_F(OptionSources, NamesOfAnEnumAreTheChoicesTheDefaultAndTheRecord) {
  Sample sample;
  EXPECT_EQ(sample.table.record().at("my.color"), "blue");
  EXPECT_EQ(sample.table.record().at("my.shade"), "auto");
  EXPECT_NE(sample.table.help().find("One of red, blue. Default: blue."), std::string::npos);
  EXPECT_NE(sample.table.help().find("One of auto, red, blue, pink. Default: auto."),
            std::string::npos);
  sample.table.parse({"--my.color", "red", "--my.shade", "pink"});
  EXPECT_EQ(sample.color, TestColor::red);
  EXPECT_EQ(sample.shade, TestColor::pink);
  EXPECT_EQ(sample.table.record().at("my.color"), "red");
  EXPECT_EQ(sample.table.record().at("my.shade"), "pink");
  sample.table.parse({"--my.shade", "auto"});
  EXPECT_EQ(sample.shade, std::nullopt);
}

TEST_F(OptionSources, ReadsListsFlagsAndPositionalWords) {
  Sample sample;
  sample.add_words();
  sample.table.parse({"one", "--list", "a", "b", "--flag", "two", "--list", "c"});
  EXPECT_EQ(sample.list, (Words{"a", "b", "c"}));
  EXPECT_EQ(sample.words, (Words{"one", "two"}));
  EXPECT_TRUE(sample.flag);
  EXPECT_FALSE(Sample().flag);
}

struct Wrong {
  const char* name;
  const char* value;
  const char* message;
};

class WrongValues : public testing::TestWithParam<Wrong> {};

TEST_P(WrongValues, AreRefusedAlikeFromEverySource) {
  for (const Source source : {Source::command_line, Source::environment, Source::file}) {
    Sample sample;
    const auto before = sample.table.record();
    const Said said(source, GetParam().name, GetParam().value);
    EXPECT_EQ(refusal([&] { sample.table.parse(said.words); }), GetParam().message)
        << static_cast<int>(source);
    EXPECT_EQ(sample.table.record(), before);  // no target was touched
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, WrongValues,
    Values(Wrong{"my.count", "x", "my.count=x is not a whole number"},
           Wrong{"my.count", "", "my.count= is not a whole number"},
           Wrong{"my.count", "1.5", "my.count=1.5 is not a whole number"},
           Wrong{"my.count", "1e3", "my.count=1e3 is not a whole number"},
           Wrong{"my.count", "0x10", "my.count=0x10 is not a whole number"},
           Wrong{"my.count", "12 eggs", "my.count=12 eggs is not a whole number"},
           Wrong{"my.count", "9223372036854775808",
                 "my.count=9223372036854775808 is too large: at most 9223372036854775807"},
           Wrong{"my.count", "-9223372036854775809",
                 "my.count=-9223372036854775809 is too small: at least 1"},
           Wrong{"my.few", "9", "my.few=9 is too large: at most 8"},
           Wrong{"my.few", "-9", "my.few=-9 is too small: at least -8"},
           // These are 1, 0 and -1 in 32 bits.
           Wrong{"my.few", "4294967297", "my.few=4294967297 is too large: at most 8"},
           Wrong{"my.few", "18446744073709551616",
                 "my.few=18446744073709551616 is too large: at most 8"},
           Wrong{"my.few", "-4294967297", "my.few=-4294967297 is too small: at least -8"},
           Wrong{"my.count", "0", "my.count=0 is too small: at least 1"},
           Wrong{"my.count", "-7", "my.count=-7 is too small: at least 1"},
           Wrong{"my.real", "", "my.real= is not a number"},
           Wrong{"my.real", "0.5f", "my.real=0.5f is not a number"},
           Wrong{"my.real", "0,5", "my.real=0,5 is not a number"},
           Wrong{"my.real", "1e999", "my.real=1e999 is too large: at most 1"},
           Wrong{"my.real", "-1e999", "my.real=-1e999 is too small: at least 0"},
           Wrong{"my.real", "1e-999", "my.real=1e-999 is too close to 0: write 0"},
           Wrong{"my.real", "nan", "my.real=nan is not a finite number"},
           Wrong{"my.any_real", "inf", "my.any_real=inf is not a finite number"},
           Wrong{"my.any_real", "-inf", "my.any_real=-inf is not a finite number"},
           Wrong{"my.any_real", "-nan", "my.any_real=-nan is not a finite number"},
           Wrong{"my.real", "-1e-300", "my.real=-1e-300 is too small: at least 0"},
           Wrong{"my.real", "1.0000000000000002",
                 "my.real=1.0000000000000002 is too large: at most 1"},
           Wrong{"my.yes", "yes", "my.yes=yes is not known: pick one of true, false"},
           Wrong{"my.yes", "True", "my.yes=True is not known: pick one of true, false"},
           Wrong{"my.color", "pink", "my.color=pink is not known: pick one of red, blue"},
           Wrong{"my.color", "", "my.color= is not known: pick one of red, blue"},
           Wrong{"my.shade", "none",
                 "my.shade=none is not known: pick one of auto, red, blue, pink"},
           Wrong{"my.kind", "sof", "my.kind=sof is not known: pick one of soft, hard"},
           Wrong{"my.kind", "", "my.kind= is not known: pick one of soft, hard"}));

struct Slip {
  Words words;
  std::string message;
};

TEST_F(OptionSources, NamesMistakesOnTheCommandLine) {
  const std::string there_is_no = "the command line: there is no option ";
  const std::vector<Slip> slips{
      {{"--my.coumt", "5"}, there_is_no + "my.coumt: did you mean my.count?"},
      {{"--my.foo", "5"},
       there_is_no + "my.foo"},  // three letters differ from my.few, and from my.yes
      {{"--ym.count", "5"}, there_is_no + "ym.count: did you mean my.count?"},
      {{"--count", "5"}, there_is_no + "count: did you mean my.count?"},
      {{"--my.coumt=5"}, there_is_no + "my.coumt: did you mean my.count?"},
      {{"--my.cou", "5"}, there_is_no + "my.cou: did you mean my.count?"},  // no abbreviations
      {{"--MY.COUNT", "5"}, there_is_no + "MY.COUNT"},
      {{"--elsewhere.thing"}, there_is_no + "elsewhere.thing"},
      {{"stray"}, there_is_no + "stray"},
      {{"-c", "5"}, there_is_no + "-c"},
      {{"--my.count"},
       "the command line: the required argument for option '--my.count' is missing"},
      {{"--config", "/nowhere/x.ini"}, "can't read the configuration file /nowhere/x.ini"},
      {{"--config", "/proc"}, "can't read the configuration file /proc"}};
  for (const Slip& slip : slips) {
    Sample sample;
    const std::string said = refusal([&] { sample.table.parse(slip.words); });
    EXPECT_EQ(lines_of(said).at(0), slip.message);
  }
}

TEST_F(OptionSources, RefusesAnOptionAsTheValueOfAnother) {
  const std::string needs =
      "the command line: --my.text needs a value, but --my.count follows; write --my.text=VALUE "
      "for a value that begins with --";
  const std::vector<Slip> slips{{{"--my.text", "--my.count", "5"}, needs},
                                {{"--my.text", "--my.count"}, needs},
                                {{"--my.real", "0", "--my.text", "--my.count", "5"}, needs}};
  for (const Slip& slip : slips) {
    Sample sample;
    EXPECT_EQ(refusal([&] { sample.table.parse(slip.words); }), slip.message);
  }
  Sample sample;
  sample.table.parse({"--my.text=--my.count", "--my.few", "-5"});
  EXPECT_EQ(sample.text, "--my.count");
  EXPECT_EQ(sample.few, -5);
}

TEST_F(OptionSources, NamesMistakesInAFileWithTheirLines) {
  const std::vector<std::pair<std::string, std::string>> slips{
      {"[my]\ncoumt = 5\n", "2: there is no option my.coumt: did you mean my.count?"},
      {"count = 5\n",
       "1: there is no option count: did you mean my.count?"},  // outside of its section
      {"[my]\n[other]\ncount = 5\n", "3: there is no option other.count: did you mean my.count?"},
      {"[my]\ncount = 5\n\n[my]\ncount = 5\n", "5: my.count is given more than once"},
      {"my.count = 5\n[my]\ncount = 5\n", "3: my.count is given more than once"},
      {"config = other.ini\n", "1: a configuration file can't name another one"},
      {"[my]\ncount\n", "2: \"count\" is neither [SECTION] nor KEY = VALUE"},
      {"# none\n\n[my\n", "3: \"[my\" is neither [SECTION] nor KEY = VALUE"},
      {"[my]\n = 5\n", "2: \" = 5\" is neither [SECTION] nor KEY = VALUE"}};
  for (const auto& [content, message] : slips) {
    Sample sample;
    const Words words = config(content);
    EXPECT_EQ(refusal([&] { sample.table.parse(words); }), path() + ":" + message);
  }
}

TEST_F(OptionSources, BeginsAFilesCommentOnlyAfterWhiteSpace) {
  const std::vector<std::pair<std::string, std::string>> texts{
      {"runs/lr#3", "runs/lr#3"}, {"a#b #c#d", "a#b"}, {"a\t#b", "a"}, {"#b", ""}, {"a#", "a#"}};
  for (const auto& [written, value] : texts) {
    Sample sample;
    sample.table.parse(config("# of mine\n  # too\n[my] # section\ntext = " + written + "\n"));
    EXPECT_EQ(sample.text, value) << written;
  }
}

TEST_F(OptionSources, AcceptsAByteOrderMarkAndWindowsLineEnds) {
  Sample sample;
  sample.table.parse(config("\xef\xbb\xbf[my]\r\ncount = 7\r\ntext = a b\r\n"));
  EXPECT_EQ(sample.count, 7);
  EXPECT_EQ(sample.text, "a b");
}

TEST_F(OptionSources, RefusesVariablesThatLackTheSection) {
  const std::vector<std::pair<std::string, std::string>> slips{
      {"MASFORMER_CONFIG", " is not read: give --config FILE"},
      {"MASFORMER_COUNT", " names no option: did you mean MASFORMER_MY_COUNT?"}};
  for (const auto& [name, message] : slips) {
    Sample sample;
    const Variable variable(name, "5");
    EXPECT_EQ(refusal([&] { sample.table.parse({}); }), "the environment: " + name + message);
  }
}

TEST_F(OptionSources, NamesMistakesInTheEnvironment) {
  const Variable of_nobody("MASFORMER_BINARY_OF_SOMEONE", "x"), foreign("MY_COUNT", "x");
  Sample sample;
  sample.table.parse({});
  EXPECT_EQ(sample.count, 3);
  for (const char* const name :
       {"MASFORMER_MY_COUNTS", "MASFORMER_YM_COUNT", "masformer_my_count"}) {
    const Variable slip(name, "5");
    EXPECT_EQ(refusal([&] { sample.table.parse({}); }),
              std::string("the environment: ") + name +
                  " names no option: did you mean MASFORMER_MY_COUNT?");
  }
}

TEST_F(OptionSources, ReportsEveryViolationAtOnce) {
  Sample sample;
  const Variable value("MASFORMER_MY_REAL", "2"), slip("MASFORMER_MY_REEL", "2");
  Words words = config("[my]\nkind = medium\ntxt = x\nyes = true\nyes = false\n");
  words.insert(words.end(), {"--my.count", "0", "--my.texd", "a", "--my.any_real", "inf"});
  auto said = lines_of(refusal([&] { sample.table.parse(words); }));
  std::ranges::sort(said);
  Words expected{"my.count=0 is too small: at least 1",
                 "my.real=2 is too large: at most 1",
                 "my.any_real=inf is not a finite number",
                 "my.kind=medium is not known: pick one of soft, hard",
                 path() + ":5: my.yes is given more than once",
                 path() + ":3: there is no option my.txt: did you mean my.text?",
                 "the command line: there is no option my.texd: did you mean my.text?",
                 "the environment: MASFORMER_MY_REEL names no option: did you mean "
                 "MASFORMER_MY_REAL?"};
  std::ranges::sort(expected);
  EXPECT_EQ(said, expected);
}

TEST_F(OptionSources, RecordReadsBackBitForBit) {
  using Real = std::numeric_limits<double>;
  using Whole = std::numeric_limits<std::int64_t>;
  for (const double real : {0.1, 6e-4, 1e-308, 1.0 / 3, 0.1 + 0.2, -0.0, 1e22, 123456789.123456789,
                            Real::min(), Real::denorm_min(), Real::max(), Real::lowest()}) {
    for (const std::int64_t count : {std::int64_t{1}, (std::int64_t{1} << 53) + 1, Whole::max()}) {
      Sample written, read;
      written.any = real;
      written.count = count;
      written.yes = true;
      written.text = "full*8, window:256*16 = #1";
      read.table.apply_record(written.table.record());
      EXPECT_EQ(std::memcmp(&read.any, &real, sizeof real), 0) << real;
      EXPECT_EQ(read.count, count);
      EXPECT_EQ(read.text, written.text);
      EXPECT_EQ(read.table.record(), written.table.record());
    }
  }
}

TEST_F(OptionSources, RecordYieldsToWhatWasSet) {
  const Variable variable("MASFORMER_MY_KIND", "soft");
  Sample sample;
  Words words = config("[my]\nyes = false\n");
  words.insert(words.end(), {"--my.count", "3"});
  sample.table.parse(words);
  sample.table.apply_record({{"my.count", "9"},
                             {"my.kind", "hard"},
                             {"my.yes", "true"},
                             {"my.real", "0.125"},
                             {"option.of_another_version", "1"}});
  EXPECT_EQ(sample.count, 3);
  EXPECT_EQ(sample.kind, "soft");
  EXPECT_FALSE(sample.yes);
  EXPECT_EQ(sample.real, 0.125);
  EXPECT_FALSE(sample.table.was_set("my.real"));
  EXPECT_EQ(refusal([&] {
              sample.table.apply_record({{"my.real", "7"}});
            }),
            "my.real=7 is too large: at most 1");
}

TEST_F(OptionSources, InheritsOnlyTheNamedOptions) {
  Sample sample;
  sample.table.inherit({"my.count", "my.real"});
  sample.table.parse({"--my.real", "0.25"});
  sample.table.apply_inherited({{"my.count", "9"}, {"my.real", "0.75"}, {"my.text", "other"}});
  EXPECT_EQ(sample.count, 9);
  EXPECT_EQ(sample.real, 0.25);
  EXPECT_EQ(sample.text, "start");
  EXPECT_NE(sample.table.help().find("A count. Default: the checkpoint's.\n"), std::string::npos);
}

TEST_F(OptionSources, TellsRulesOfResumingAndWhatWasSet) {
  const Sample sample;
  EXPECT_EQ(sample.table.on_resume("my.count"), OnResume::must_match);
  EXPECT_EQ(sample.table.on_resume("my.real"), OnResume::may_change);
  EXPECT_EQ(sample.table.on_resume("no.option"), OnResume::may_change);
  EXPECT_FALSE(sample.table.was_set("no.option"));
  const auto record = sample.table.record();
  EXPECT_EQ(record.size(), 9u);  // only options with a section
}

}  // namespace
}  // namespace masformer
