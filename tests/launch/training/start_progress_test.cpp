// What a run prints if phases of its start take long.
#include "launch/training/start_progress.h"

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace masformer::test {
namespace {

using Seconds = StartProgress::Seconds;

// Stays in each phase for the given seconds, and returns what was printed. Phases longer than
// `patience` are printed.
std::vector<std::string> printed(double patience,
                                 const std::vector<std::pair<std::string, double>>& phases) {
  std::vector<std::string> lines;
  {
    StartProgress progress([&](const std::string& line) { lines.push_back(line); },
                           Seconds(patience));
    for (const auto& [name, seconds] : phases) {
      progress.enter(name);
      std::this_thread::sleep_for(Seconds(seconds));
    }
  }
  return lines;
}

TEST(StartProgress, NamesOnlyThePhaseThatIsLong) {
  EXPECT_EQ(printed(1, {{"planning", 0.0}, {"loading the weights", 1.3}, {"the rest", 0.0}}),
            std::vector<std::string>{
                "loading the weights has taken more than 1 s so far; a stop signal ends the run"});
}

TEST(StartProgress, SaysNothingOfManyShortPhases) {
  const std::vector<std::pair<std::string, double>> phases(30, {"planning", 0.05});
  EXPECT_TRUE(printed(1, phases).empty()) << "they take 1.5 s together";
}

TEST(StartProgress, EndsWithoutAnyPhase) {
  EXPECT_TRUE(printed(1, {}).empty());
}

}  // namespace
}  // namespace masformer::test
