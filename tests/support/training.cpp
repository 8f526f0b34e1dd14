#include "tests/support/training.h"

#include <fstream>

#include <fmt/format.h>

#include "runtime/error.h"
#include "runtime/random.h"

namespace masformer::test {
namespace {

// The order of words is partly predictable, so that a model can learn it.
void write_text(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::vector<std::string> words{"the",  "span", "of",   "attention", "is",   "a",
                                       "mask", "and",  "rank", "knows",     "only", "its"};
  for (std::uint64_t document = 0; document < 40; ++document) {
    std::ofstream file(folder / fmt::format("{:02}.txt", document));
    std::uint64_t word = document;
    for (std::uint64_t i = 0; i < 300; ++i) {
      word = (word * 5 + 1 + mix(document, i) % 3) % words.size();
      file << words[word] << (i % 12 == 11 ? ".\n" : " ");
    }
  }
}

}  // namespace

Scratch::Scratch() {
  write_text(path("text"));
  const Finished finished =
      run({program(), "prepare", "--input", path("text").string(), "--output", store().string()});
  require(finished.status == 0, "prepare failed: {}", finished.output);
}

std::vector<std::string> rank_words(const Scratch& scratch, const std::string& run_dir,
                                    const Training& training) {
  std::vector<std::string> words{program(), "train"};
  const auto add = [&](const std::string& name, const std::string& value) {
    words.push_back("--" + name);
    words.push_back(value);
  };
  add("model.spans", "full,window:8,block:16,window:16");
  add("model.hidden", "32");
  add("model.heads", "4");
  add("train.sequence", "48");
  add("train.global_batch", "8");
  add("train.steps", "20");
  add("train.lr", "3e-3");
  add("data.path", scratch.store().string());
  add("run.dir", scratch.path(run_dir).string());
  add("parallel.tensor", std::to_string(training.tensor));
  add("parallel.context", std::to_string(training.context));
  add("parallel.pipeline", std::to_string(training.pipeline));
  add("runtime.threads", training.ranks() > 1 ? "1" : "2");  // tests run on few cores
  words.insert(words.end(), training.options.begin(), training.options.end());
  return words;
}

std::vector<std::string> launched_words(const Scratch& scratch, const std::string& run_dir,
                                        const Training& training) {
  std::vector<std::string> words = rank_words(scratch, run_dir, training);
  words.insert(words.begin() + 1, {"run", "-n", std::to_string(training.ranks()), "--"});
  return words;
}

std::vector<std::string> training_words(const Scratch& scratch, const std::string& run_dir,
                                        const Training& training) {
  return training.ranks() == 1 ? rank_words(scratch, run_dir, training)
                               : launched_words(scratch, run_dir, training);
}

Finished train(const Scratch& scratch, const std::string& run_dir, const Training& training) {
  return run(training_words(scratch, run_dir, training));
}

std::vector<nlohmann::json> metrics(const Scratch& scratch, const std::string& run_dir) {
  std::ifstream file(scratch.path(run_dir) / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::vector<std::string> timeless_metrics(const Scratch& scratch, const std::string& run_dir) {
  std::vector<std::string> lines;
  for (nlohmann::json& line : metrics(scratch, run_dir)) {
    for (const char* const timed : {"step_seconds", "tokens_per_second", "model_flops_per_second",
                                    "mfu", "mfu_dense", "bubble"}) {
      line.erase(timed);
    }
    lines.push_back(line.dump());
  }
  return lines;
}

double worst_difference(const std::filesystem::path& a, const std::filesystem::path& b) {
  const Finished finished =
      run({program(), "inspect", a.string(), "--compare", b.string(), "--json"});
  require(finished.status == 0, "inspect failed: {}", finished.output);
  return nlohmann::json::parse(finished.output).at("worst");
}

std::filesystem::path checkpoint(const Scratch& scratch, const std::string& run_dir, int step) {
  return scratch.path(run_dir) / "checkpoints" / fmt::format("step-{:08}", step);
}

}  // namespace masformer::test
