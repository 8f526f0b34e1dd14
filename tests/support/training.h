// Small runs of `masformer train`, for tests of the files that a run writes.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {

// A temporary folder with a small token store, made by `masformer prepare` from generated text.
class Scratch {
 public:
  Scratch();
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  std::filesystem::path store() const { return path("tokens.h5"); }

 private:
  TemporaryDirectory directory_;
};

struct Training {
  int tensor = 1, pipeline = 1, data = 1, context = 1;
  std::vector<std::string> options;  // added after those of the small model, which they override

  int ranks() const { return tensor * pipeline * data * context; }
  bool in_bf16() const { return std::ranges::count(options, "bf16") > 0; }
};

// The command line of each rank, `masformer train ...`, for `run_dir`, a folder in `scratch`.
std::vector<std::string> rank_words(const Scratch& scratch, const std::string& run_dir,
                                    const Training& training);
// The same under `masformer run -n N --`.
std::vector<std::string> launched_words(const Scratch& scratch, const std::string& run_dir,
                                        const Training& training);
// What trains soonest: rank_words() of a single rank, else launched_words(). If a rank fails or
// stops, mpirun waits two seconds before it ends.
std::vector<std::string> training_words(const Scratch& scratch, const std::string& run_dir,
                                        const Training& training);
// Runs it until it ends.
Finished train(const Scratch& scratch, const std::string& run_dir, const Training& training);

// The lines of a run's metrics.jsonl.
std::vector<nlohmann::json> metrics(const Scratch& scratch, const std::string& run_dir);
// The same lines as text, without the keys that depend on the clock.
std::vector<std::string> timeless_metrics(const Scratch& scratch, const std::string& run_dir);

// "worst" of `masformer inspect A --compare B --json`: the largest difference of a tensor relative
// to its norm.
double worst_difference(const std::filesystem::path& a, const std::filesystem::path& b);

// Where the run saves step `step`.
std::filesystem::path checkpoint(const Scratch& scratch, const std::string& run_dir, int step);

}  // namespace masformer::test
