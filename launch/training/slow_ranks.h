// Finds ranks that persistently take longer than their peers for the same work.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "launch/plan/run_plan.h"

namespace masformer {

// [rank]: ranks with the same number have equal work: those of a pipeline stage. If its context
// ranks have unequal work by the plan, those of one context coordinate only.
std::vector<int> groups_of_equal_work(const RunPlan& plan);

struct SlowRank {
  int rank = 0;
  int peers = 0;  // the others of its group
  // Medians of the last steps: of the rank, and of the median of its peers.
  double seconds = 0, peer_seconds = 0;
};

class SlowRanks {
 public:
  static constexpr std::size_t window = 20;  // steps
  static constexpr double factor = 1.3;      // times the median of the peers
  // In so many of these steps a rank must exceed that to become slow, and to stay it.
  static constexpr int becomes = 15, stays = 8;

  explicit SlowRanks(std::vector<int> groups);

  // Adds a step: the seconds that each rank was busy, waits excluded. Returns all slow ranks if
  // they are no longer the same ranks as before; they may be none.
  std::optional<std::vector<SlowRank>> add(const std::vector<double>& busy);

 private:
  struct Step {
    std::vector<double> busy, peers;  // [rank]: its time, and the median of its peers'
  };
  std::vector<double> medians_of_peers(const std::vector<double>& busy) const;
  int steps_above(std::size_t rank) const;  // in which it took `factor` times as long as its peers
  SlowRank describe(std::size_t rank) const;

  std::vector<int> groups_;
  std::vector<std::vector<std::size_t>> members_;  // [group]
  std::deque<Step> steps_;
  std::vector<bool> slow_;  // [rank]
};

// "node7 (stage 1, data 0, context 0, tensor 1)"
std::string place_of_rank(const std::string& host, const Coordinate& at);

// "rank 3 on node7 (stage 1, data 0, context 0, tensor 1)"
std::string name_of_rank(int rank, const std::string& host, const Coordinate& at);

// A line for the log: who is slow, on which host, with the figures; or that nobody is any more.
std::string describe(const std::vector<SlowRank>& slow, const std::vector<std::string>& hosts,
                     const Mesh& mesh);

}  // namespace masformer
