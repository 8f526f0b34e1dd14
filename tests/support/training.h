// Small training runs of the program, for tests that look at what a run leaves behind.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {

// A folder with a small token store in it, made by `masformer prepare` from text made here.
class Scratch {
 public:
  Scratch();
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  std::filesystem::path store() const { return path("tokens.h5"); }

 private:
  TemporaryDirectory directory_;
};

struct Training {
  int tensor = 1, pipeline = 1, data = 1;
  std::vector<std::string> options;  // added to those of the small model

  int ranks() const { return tensor * pipeline * data; }
  bool in_bf16() const { return std::ranges::count(options, "bf16") > 0; }
};

// The words of `masformer run -n N -- train ...` into `run_dir`.
std::vector<std::string> training_words(const Scratch& scratch, const std::string& run_dir,
                                        const Training& training);
Finished train(const Scratch& scratch, const std::string& run_dir, const Training& training);

// The lines of a run's metrics.jsonl.
std::vector<nlohmann::json> metrics(const Scratch& scratch, const std::string& run_dir);
// The lines as they stand, without what depends on the clock.
std::vector<std::string> timeless_metrics(const Scratch& scratch, const std::string& run_dir);

// The worst figure of `masformer inspect A --compare B`.
double worst_difference(const std::filesystem::path& a, const std::filesystem::path& b);

std::filesystem::path checkpoint(const Scratch& scratch, const std::string& run_dir, int step);

}  // namespace masformer::test
