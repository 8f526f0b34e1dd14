// A partition for stages that hold several parts. Their sums over parts that are not adjacent have
// no recurrence, so boundaries between parts are moved while that helps: alone by any distance, and
// two by one block each, of which one bounds a part of the slowest stage (or of one that exceeds
// its memory), since no other move can help. Where that ends, some boundaries are moved at random
// and the search is repeated, a number of times that depends on the size of the problem only. A
// problem with few partitions is solved by trying all.

#include <algorithm>
#include <random>
#include <utility>

#include "parallel/pipeline/balance_model.h"

namespace masformer {
namespace {

constexpr double few_partitions = 5000;
constexpr int work = 40'000;  // tries x blocks x parts

// What the search minimises, in this order.
struct Objective {
  std::int64_t short_bytes = 0;  // beyond the stages' memory, in total
  Ticks step = 0;
  double squares = 0;  // of the stages' ticks; smaller if they are more even
  Ticks slowest_part = 0;
  std::int64_t bytes = 0;  // of the largest stage

  auto operator<=>(const Objective&) const = default;
};

class ChunkSearch {
 public:
  explicit ChunkSearch(const BalanceModel& model) : model_(model) {}

  Partition improved(Partition partition) {
    take(std::move(partition));
    while (move_one() || move_two()) {
    }
    return partition_;
  }

  Objective objective_of(const Partition& partition) {
    take(partition);
    return objective_;
  }

 private:
  // What one stage adds to the objective.
  struct Stage {
    Load load;
    std::int64_t short_bytes = 0;
    Ticks slowest_part = 0;
  };

  void take(Partition partition) {
    partition_ = std::move(partition);
    stages_.clear();
    for (int stage = 0; stage < model_.stages(); ++stage) stages_.push_back(stage_of(stage));
    objective_ = objective();
  }

  Stage stage_of(int stage) const {
    const LoadSum sum = model_.sum_of(stage, partition_);
    const Load load = sum.best(model_.memory(stage)).value_or(sum.smallest());
    Stage result{load, std::max<std::int64_t>(load.bytes - model_.memory(stage), 0), 0};
    for (int chunk = 0; chunk < model_.problem().placement.chunks(); ++chunk) {
      const int part = model_.problem().placement.part(stage, chunk);
      result.slowest_part =
          std::max(result.slowest_part, model_.part_ticks(partition_, part, load.choice));
    }
    return result;
  }

  Objective objective() const {
    Objective total;
    Ticks slowest = 0, sum = 0;
    for (const Stage& stage : stages_) {
      total.short_bytes += stage.short_bytes;
      total.slowest_part = std::max(total.slowest_part, stage.slowest_part);
      total.bytes = std::max(total.bytes, stage.load.bytes);
      slowest = std::max(slowest, stage.load.ticks);
      sum += stage.load.ticks;
      total.squares += squared(stage.load.ticks);
    }
    total.step = model_.step(slowest, sum);
    return total;
  }

  // Boundary b is between the parts b and b + 1.
  bool may_move(int boundary, int distance) const {
    const auto index = static_cast<std::size_t>(boundary);
    return partition_[index].size() + distance >= 1 && partition_[index + 1].size() - distance >= 1;
  }

  void shift(int boundary, int distance) {
    const auto index = static_cast<std::size_t>(boundary);
    partition_[index].end += distance;
    partition_[index + 1].begin += distance;
  }

  // Moves these boundaries if all parts keep a block and the objective falls.
  bool try_moves(std::initializer_list<std::pair<int, int>> moves) {
    const Partition before = partition_;
    const std::vector<Stage> stages_before = stages_;
    bool possible = true;
    for (const auto& [boundary, distance] : moves) {
      possible = possible && may_move(boundary, distance);
      if (possible) shift(boundary, distance);
    }
    if (possible) {
      for (const auto& [boundary, distance] : moves) {
        for (const int part : {boundary, boundary + 1}) {
          const int stage = model_.problem().placement.place(part).stage;
          stages_[static_cast<std::size_t>(stage)] = stage_of(stage);
        }
      }
      const Objective now = objective();
      if (now < objective_) {
        objective_ = now;
        return true;
      }
    }
    partition_ = before;
    stages_ = stages_before;
    return false;
  }

  bool move_one() {
    for (int boundary = 0; boundary + 1 < model_.parts(); ++boundary) {
      for (int distance = 1; may_move(boundary, distance) || may_move(boundary, -distance);
           ++distance) {
        if (try_moves({{boundary, distance}}) || try_moves({{boundary, -distance}})) return true;
      }
    }
    return false;
  }

  bool move_two() {
    for (const int first : critical_boundaries()) {
      for (int second = 0; second + 1 < model_.parts(); ++second) {
        if (second == first) continue;
        for (const int by : {1, -1}) {
          if (try_moves({{first, by}, {second, by}}) || try_moves({{first, by}, {second, -by}}))
            return true;
        }
      }
    }
    return false;
  }

  std::vector<int> critical_boundaries() const {
    Ticks slowest = 0;
    for (const Stage& stage : stages_) slowest = std::max(slowest, stage.load.ticks);
    const auto is_critical = [&](int part) {
      const auto& stage =
          stages_[static_cast<std::size_t>(model_.problem().placement.place(part).stage)];
      return stage.load.ticks == slowest || stage.short_bytes > 0 ||
             stage.slowest_part == objective_.slowest_part;
    };
    std::vector<int> boundaries;
    for (int boundary = 0; boundary + 1 < model_.parts(); ++boundary) {
      if (is_critical(boundary) || is_critical(boundary + 1)) boundaries.push_back(boundary);
    }
    return boundaries;
  }

  const BalanceModel& model_;
  Partition partition_;
  std::vector<Stage> stages_;
  Objective objective_;
};

// The best partition if each part had a stage of its own, without a limit of memory.
Partition balanced_parts(const BalanceModel& model) {
  BalanceProblem problem = model.problem();
  const int parts = model.parts();
  problem.placement = Placement::round_robin(parts);
  problem.memory.assign(static_cast<std::size_t>(parts), std::numeric_limits<std::int64_t>::max());
  return balance(problem).partition;
}

Balance try_all(const BalanceModel& model) {
  ChunkSearch search(model);
  Partition partition = first_partition(model.blocks(), model.parts());
  Partition best = even_partition(model.blocks(), model.parts());
  Objective least = search.objective_of(best);
  do {
    const Objective objective = search.objective_of(partition);
    if (objective < least) least = objective, best = partition;
  } while (next_partition(partition));
  return load_of(model.problem(), best);
}

}  // namespace

Partition disturbed(Partition partition, std::mt19937& random) {
  const auto boundaries = static_cast<unsigned>(partition.size()) - 1;
  for (unsigned move = 0; move < 3 + boundaries / 8; ++move) {
    const std::size_t boundary = random() % boundaries;
    const int by = static_cast<int>(random() % 3) + 1;
    LayerRange& left = partition[boundary];
    LayerRange& right = partition[boundary + 1];
    const int distance =
        random() % 2 == 0 ? std::min(by, right.size() - 1) : -std::min(by, left.size() - 1);
    left.end += distance;
    right.begin += distance;
  }
  return partition;
}

Balance search_chunks(const BalanceModel& model) {
  if (count_partitions(model.blocks(), model.parts(), few_partitions) <= few_partitions) {
    return try_all(model);
  }
  ChunkSearch search(model);
  Partition best;
  std::optional<Objective> least;
  for (const Partition& start :
       {even_partition(model.blocks(), model.parts()), balanced_parts(model)}) {
    const Partition found = search.improved(start);
    const Objective objective = search.objective_of(found);
    if (least && *least <= objective) continue;
    least = objective;
    best = found;
  }
  std::mt19937 random(1);  // its numbers are the same everywhere
  const int tries = std::max(2, work / (model.blocks() * model.parts()));
  for (int i = 0; i < tries; ++i) {
    const Partition found = search.improved(disturbed(best, random));
    const Objective objective = search.objective_of(found);
    if (objective < *least) least = objective, best = found;
  }
  return load_of(model.problem(), best);
}

}  // namespace masformer
