// metrics.jsonl: what is written reads back bit for bit; a resumed run keeps every good line, and
// says what it dropped.
#include "launch/output/metrics.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/random.h"
#include "tests/support/temporary_directory.h"

namespace masformer {
namespace {

using namespace test;
namespace fs = std::filesystem;

std::vector<std::string> lines(const fs::path& path) {
  std::vector<std::string> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) all.push_back(line);
  return all;
}

// The finite doubles that are hardest to print, and many of arbitrary bits.
std::vector<double> hard_reals() {
  using Real = std::numeric_limits<double>;
  std::vector<double> reals{0.0,
                            -0.0,
                            0.1,
                            0.1 + 0.2,
                            1.0 / 3,
                            1e22,
                            1e23,
                            5e-324,
                            9007199254740994.0,
                            2.2250738585072011e-308,
                            1.7976931348623157e308,
                            6e-4,
                            123456.0,
                            Real::min(),
                            -Real::denorm_min(),
                            Real::epsilon(),
                            Real::lowest()};
  for (std::uint64_t i = 0; reals.size() < 2000; ++i) {
    const std::uint64_t bits = mix(1, i) >> (i % 4 == 0 ? 12 : 0);  // a quarter are denormal
    double real = 0;
    std::memcpy(&real, &bits, sizeof real);
    if (std::isfinite(real)) reals.push_back(real);
  }
  return reals;
}

// The floating-point fields of docs/metrics.md: the key of each, and its member of StepMetrics.
struct RealKey {
  const char* key;
  double StepMetrics::*member;
};

constexpr RealKey real_keys[] = {{"loss", &StepMetrics::loss},
                                 {"grad_norm", &StepMetrics::grad_norm},
                                 {"lr", &StepMetrics::lr},
                                 {"step_seconds", &StepMetrics::step_seconds},
                                 {"tokens_per_second", &StepMetrics::tokens_per_second},
                                 {"model_flops_per_second", &StepMetrics::model_flops_per_second},
                                 {"mfu", &StepMetrics::mfu},
                                 {"mfu_dense", &StepMetrics::mfu_dense},
                                 {"bubble", &StepMetrics::bubble}};

bool same_bits(double a, double b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

TEST(Metrics, RealsReadBackBitForBit) {
  const TemporaryDirectory directory;
  const std::vector<double> reals = hard_reals();
  std::vector<StepMetrics> written(reals.size());
  MetricsWriter writer(directory / "metrics.jsonl", 0);
  for (std::size_t i = 0; i < written.size(); ++i) {
    // Each key gets a different real in each line.
    std::size_t shift = i;
    for (const RealKey& real : real_keys) written[i].*real.member = reals[shift++ % reals.size()];
    written[i].eval_loss = reals[shift % reals.size()];
    writer.write(written[i]);
  }
  const auto texts = lines(directory / "metrics.jsonl");
  ASSERT_EQ(texts.size(), written.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto line = nlohmann::json::parse(texts[i]);
    for (const RealKey& real : real_keys) {
      const double expected = written[i].*real.member;
      EXPECT_TRUE(same_bits(line.at(real.key).get<double>(), expected)) << real.key << expected;
      // Checked with strtod(), too, because other programs read the file with other parsers.
      const std::string key = std::string("\"") + real.key + "\":";
      const double plain = std::strtod(texts[i].c_str() + texts[i].find(key) + key.size(), nullptr);
      EXPECT_TRUE(same_bits(plain, expected)) << real.key << " " << texts[i];
    }
    EXPECT_TRUE(same_bits(line.at("eval_loss").get<double>(), *written[i].eval_loss));
  }
}

TEST(Metrics, LinesHaveEveryKeyInOrder) {
  const TemporaryDirectory directory;
  constexpr std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double holds it
  MetricsWriter writer(directory / "metrics.jsonl", 0);
  StepMetrics step{.step = 7, .loss = 1.5, .tokens = large, .peak_memory_bytes = large + 4};
  step.sent[Axis::tensor][Operation::all_gather] = large;
  step.sent[Axis::tensor][Operation::all_reduce] = 2;
  step.sent[Axis::pipe][Operation::send] = 3;
  step.sent[Axis::data][Operation::reduce_scatter] = 4;
  writer.write(step);
  step.eval_loss = 2.5;
  writer.write(step);
  const std::string expected =
      R"({"step":7,"loss":1.5,"grad_norm":0.0,"lr":0.0,"tokens":9007199254740993,)"
      R"("step_seconds":0.0,"tokens_per_second":0.0,"model_flops_per_second":0.0,"mfu":0.0,)"
      R"("mfu_dense":0.0,"sent_bytes":{"pipeline":3,"data":4,"context":0,)"
      R"("tensor":9007199254740995},"sent_bytes_by_operation":{"pipeline":{"send":3},)"
      R"("data":{"reduce_scatter":4},"tensor":{"all_reduce":2,"all_gather":9007199254740993}},"peak_memory_bytes":9007199254740997,"bubble":0.0)";
  EXPECT_EQ(lines(directory / "metrics.jsonl"),
            (std::vector<std::string>{expected + "}", expected + ",\"eval_loss\":2.5}"}));
}

struct Resumed {
  const char* what;
  std::string before;
  std::int64_t last_step;
  std::string after;
  std::string note;
};

TEST(Metrics, ResumedRunKeepsGoodLinesAndReportsDroppedOnes) {
  const std::string one = R"({"step":1,"loss":0.30000000000000004})"
                          "\n";
  const std::string two = R"({"step":2,"loss":5e-324,"kept":"as it was"})"
                          "\n";
  const std::string three = R"({"step":3})"
                            "\n";
  const std::string five = R"({"step":5})"
                           "\n";
  const std::vector<Resumed> cases{
      {"nothing to cut", one + two, 2, one + two, ""},
      {"later lines", one + two + three, 1, one, "kept 1 lines; dropped 2 beyond step 1"},
      {"all of them", one + two, 0, "", "kept 0 lines; dropped 2 beyond step 0"},
      {"a step not reached", one + two, 9, one + two, "kept 2 lines; no line for steps 3-9"},
      {"gaps", two + five, 7, two + five, "kept 2 lines; no line for steps 1, 3-4, 6-7"},
      {"a whole line without its newline", one + R"({"step":2})", 2, one + "{\"step\":2}\n", ""},
      {"half a line", one + R"({"step":2,"lo)", 1, one, "kept 1 lines; dropped 1 damaged"},
      {"half a line that is JSON", one + "2", 1, one, "kept 1 lines; dropped 1 damaged"},
      {"garbage between", one + "garbage\n\n[1]\nnull\n" + two, 2, one + two,
       "kept 2 lines; dropped 4 damaged"},
      {"objects of no step", one + "{}\n{\"step\":\"2\"}\n{\"step\":1.5}\n" + two, 2, one + two,
       "kept 2 lines; dropped 3 damaged"},
      {"zeros after a crash", one + std::string(64, '\0'), 1, one,
       "kept 1 lines; dropped 1 damaged"},
      {"out of order", three + one + five + two, 3, one + two + three,
       "kept 3 lines; dropped 1 beyond step 3; sorted them by step"},
      {"a step twice, the later attempt last",
       R"({"step":1})" + std::string("\n") + one + two + two, 2, one + two,
       "kept 2 lines; dropped 2 repeated"},
      {"steps that are none",
       "{\"step\":0}\n{\"step\":-1}\n{\"step\":18446744073709551615}\n" + one, 1, one,
       "kept 1 lines; dropped 1 beyond step 1; dropped 2 damaged"},
      {"an empty file", "", 5, "", "kept 0 lines; no line for steps 1-5"}};
  for (const Resumed& resumed : cases) {
    const TemporaryDirectory directory;
    const fs::path path = directory / "metrics.jsonl";
    std::ofstream(path) << resumed.before;
    MetricsWriter writer(path, resumed.last_step);
    EXPECT_EQ(writer.note(), resumed.note.empty() ? "" : "metrics.jsonl: " + resumed.note)
        << resumed.what;
    std::ifstream file(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), resumed.after) << resumed.what;
    writer.write({.step = resumed.last_step + 1});
    writer.sync();
    const auto all = lines(path);
    EXPECT_EQ(all.size(), static_cast<std::size_t>(std::ranges::count(resumed.after, '\n')) + 1);
    EXPECT_EQ(nlohmann::json::parse(all.back()).at("step"), resumed.last_step + 1) << resumed.what;
    EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1) << resumed.what;
  }
}

TEST(Metrics, NewFileNeedsNoNote) {
  const TemporaryDirectory directory;
  EXPECT_EQ(MetricsWriter(directory / "metrics.jsonl", 5).note(), "");
}

TEST(Metrics, NoteNamesOnlyAFewGaps) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "metrics.jsonl";
  for (int step = 2; step <= 100; step += 2) {
    std::ofstream(path, std::ios::app) << "{\"step\":" << step << "}\n";
  }
  EXPECT_EQ(MetricsWriter(path, 100).note(),
            "metrics.jsonl: kept 50 lines; no line for steps 1, 3, 5, 7, 9, 11, 13, 15, ...");
}

TEST(Metrics, RefusesAFileThatCantBeWritten) {
  const TemporaryDirectory directory;
  EXPECT_THROW(MetricsWriter(directory / "no" / "metrics.jsonl", 0), Error);
  // If the file can't be cut, the old lines remain.
  const fs::path path = directory / "metrics.jsonl";
  std::ofstream(path) << "{\"step\":1}\n{\"step\":2}\n";
  fs::create_directories(directory / "metrics.jsonl.cut");
  EXPECT_THROW(MetricsWriter(path, 1), Error);
  EXPECT_EQ(lines(path).size(), 2u);
}

TEST(Metrics, ThrowsIfALineDoesNotReachTheFile) {
  const TemporaryDirectory directory;
  MetricsWriter writer(directory / "metrics.jsonl", 0);
  writer.write({.step = 1});
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(directory / "metrics.jsonl"), old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_THROW(writer.write({.step = 2}), Error);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, ignored);
  EXPECT_EQ(lines(directory / "metrics.jsonl").size(), 1u);
}

}  // namespace
}  // namespace masformer
