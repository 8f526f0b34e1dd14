// Files for TensorBoard: what they hold, what a resume cuts off, and what the real readers find.
#include "launch/output/tensorboard.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "launch/output/tfrecord.h"
#include "runtime/error.h"
#include "tests/support/training.h"

namespace masformer {
namespace {

using namespace test;
namespace fs = std::filesystem;

// The fields of a message of protocol buffers; a number's bytes are as in memory.
std::multimap<int, std::string> fields_of(const std::string& message) {
  std::multimap<int, std::string> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const std::uint64_t tag = varint();
    std::string bytes;
    if ((tag & 7U) == 0) {
      const std::uint64_t value = varint();
      bytes.assign(reinterpret_cast<const char*>(&value), sizeof value);
    } else {
      const std::size_t size = (tag & 7U) == 1 ? 8 : (tag & 7U) == 5 ? 4 : varint();
      bytes = message.substr(at, size);
      at += size;
    }
    fields.emplace(static_cast<int>(tag >> 3U), bytes);
  }
  return fields;
}

template <class T>
T as(const std::string& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// An event in words: "3 version brain.Event:2", "3 start", "3 text config", "3 loss=1.5 lr=0".
std::string words_of(const std::string& event) {
  const auto fields = fields_of(event);
  std::string words = std::to_string(as<std::int64_t>(fields.find(2)->second));
  EXPECT_GT(as<double>(fields.find(1)->second), 1.7e9) << "wall time, in seconds since 1970";
  if (const auto version = fields.find(3); version != fields.end()) words += " " + version->second;
  if (const auto session = fields.find(7); session != fields.end()) {
    words += fields_of(session->second).find(1)->second[0] == 1 ? " start" : " other";
  }
  if (const auto summary = fields.find(5); summary != fields.end()) {
    for (const auto& [number, value] : fields_of(summary->second)) {
      const auto parts = fields_of(value);
      words += " " + parts.find(1)->second;
      if (const auto simple = parts.find(2); simple != parts.end()) {
        words += fmt::format("={}", as<float>(simple->second));
      } else {
        words += " " + fields_of(parts.find(8)->second).find(8)->second;
      }
    }
  }
  return words;
}

// The events of all files, in the order of the names of the files.
std::vector<std::string> events_in(const fs::path& folder) {
  std::vector<fs::path> paths(fs::directory_iterator(folder), {});
  std::ranges::sort(paths);
  std::vector<std::string> events;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    while (const auto event = read_framed(file)) events.push_back(words_of(*event));
  }
  return events;
}

StepMetrics step_metrics(std::int64_t step) {
  StepMetrics metrics{.step = step, .loss = 1.0 / static_cast<double>(step), .tokens = 64 * step};
  metrics.sent[Axis::tensor][Operation::all_gather] = 8 * step;
  return metrics;
}

const std::map<std::string, std::string> options{
    {"model.layers", "4"}, {"model.spans", "full*2,window:8*2"}, {"train.lr", "0.1"}};

constexpr const char* config =
    " config     [model]\n    layers = 4\n    spans = full*2,window:8*2\n"
    "    [train]\n    lr = 0.1\n";

TEST(TensorBoard, HoldsEveryNumberOfAStepsLine) {
  const TemporaryDirectory directory;
  TensorBoardWriter writer(directory / "tensorboard", 0, options);
  StepMetrics metrics = step_metrics(1);
  metrics.loss = 1.5;
  metrics.eval_loss = 2.5;
  writer.write(metrics);
  EXPECT_TRUE(writer.path().filename().string().starts_with("events.out.tfevents."));
  EXPECT_EQ(events_in(directory / "tensorboard"),
            (std::vector<std::string>{
                "1 brain.Event:2", "1 start", std::string("1") + config,
                "1 loss=1.5 grad_norm=0 lr=0 tokens=64 step_seconds=0 tokens_per_second=0 "
                "model_flops_per_second=0 mfu=0 mfu_dense=0 sent_bytes/pipeline=0 "
                "sent_bytes/data=0 sent_bytes/context=0 sent_bytes/tensor=8 "
                "sent_bytes_by_operation/tensor/all_gather=8 peak_memory_bytes=0 bubble=0 "
                "eval_loss=2.5"}));
}

// The steps that have a loss, in the order of the files.
std::vector<int> steps_in(const fs::path& folder) {
  std::vector<int> steps;
  for (const std::string& event : events_in(folder)) {
    if (event.find(" loss=") != std::string::npos) steps.push_back(std::stoi(event));
  }
  return steps;
}

TEST(TensorBoard, HoldsEachStepOnceAfterResumes) {
  const TemporaryDirectory directory;
  const fs::path folder = directory / "tensorboard";
  const auto run_steps = [&](std::int64_t after, std::int64_t last) {
    TensorBoardWriter writer(folder, after, options);
    for (std::int64_t step = after + 1; step <= last; ++step) writer.write(step_metrics(step));
    return writer.path();
  };
  const fs::path first = run_steps(0, 5);
  const fs::path second = run_steps(3, 6);  // in the same second
  EXPECT_LT(first, second);
  EXPECT_EQ(steps_in(folder), (std::vector<int>{1, 2, 3, 4, 5, 6}));
  // A crash cuts off a record, and the next start repeats steps of both files.
  fs::resize_file(second, fs::file_size(second) - 3);
  std::ofstream(folder / "notes.txt") << "not ours";
  run_steps(2, 4);
  EXPECT_EQ(steps_in(folder), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
}

TEST(TensorBoard, ThrowsIfARecordDoesNotReachTheFile) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "";
  EXPECT_THROW(TensorBoardWriter(directory / "file", 0, options), Error);
  TensorBoardWriter writer(directory / "tensorboard", 0, options);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(writer.path()), old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_THROW(writer.write(step_metrics(1)), Error);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, ignored);
}

test::Training trained(std::vector<std::string> more) {
  more.insert(more.end(), {"--log.tensorboard", "true", "--eval.every", "4", "--eval.windows", "2",
                           "--checkpoint.every", "3"});
  return {.options = std::move(more)};
}

TEST(TensorBoard, DoesNotEndARunThatCannotWriteIt) {
  const Scratch scratch;
  fs::create_directories(scratch.path("run"));
  fs::create_symlink("nowhere", scratch.path("run") / "tensorboard");
  const Finished finished = train(scratch, "run", trained({"--train.steps", "2"}));
  EXPECT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("no more for TensorBoard: can't write "), std::string::npos)
      << finished.output;
  EXPECT_EQ(metrics(scratch, "run").size(), 2u);
}

// By the readers of a Python that has them: MASFORMER_TENSORBOARD_PYTHON names it.
TEST(TensorBoard, IsReadByTheRealReaders) {
  const Scratch scratch;
  for (const char* const steps : {"7", "10"}) {  // resumes after step 7, which ended the first run
    const Finished finished = train(scratch, "run", trained({"--train.steps", steps}));
    ASSERT_EQ(finished.status, 0) << finished.output;
  }
  fs::remove_all(checkpoint(scratch, "run", 10));  // replays from step 9
  ASSERT_EQ(train(scratch, "run", trained({"--train.steps", "11"})).status, 0);
  const std::vector<int> each{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  EXPECT_EQ(steps_in(scratch.path("run") / "tensorboard"), each);
  const char* const python = std::getenv("MASFORMER_TENSORBOARD_PYTHON");
  const Finished read = run({python != nullptr ? python : "python3",
                             MASFORMER_SOURCE_DIR "/tests/launch/output/read_tensorboard.py",
                             scratch.path("run").string()});
  if (read.status == 77 || read.status == 127) {
    GTEST_SKIP() << "no reader: set MASFORMER_TENSORBOARD_PYTHON to a Python that has them: "
                 << read.output;
  }
  EXPECT_EQ(read.status, 0) << read.output;
  std::cout << read.output;
}

}  // namespace
}  // namespace masformer
