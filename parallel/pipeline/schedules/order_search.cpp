#include "parallel/pipeline/schedules/order_search.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"
#include "runtime/random.h"

namespace masformer {
namespace {

Schedule with_split_backwards(Schedule schedule) {
  for (auto& actions : schedule.actions) {
    std::vector<Action> halves;
    for (const Action& action : actions) {
      halves.push_back(action);
      if (action.kind != ActionKind::backward) continue;
      halves.back().kind = ActionKind::backward_input;
      halves.push_back({ActionKind::backward_weight, action.micro_batch, action.chunk});
    }
    actions = std::move(halves);
  }
  return schedule;
}

bool fits(const Schedule& schedule, const OrderSearch& search) {
  const std::vector<double> peaks = peak_memory(schedule, search.memory);
  for (std::size_t stage = 0; stage < peaks.size(); ++stage) {
    if (!fits_memory(peaks[stage], search.memory_limit[stage])) return false;
  }
  return true;
}

class MoveSearch {
 public:
  MoveSearch(const Schedule& schedule, const OrderSearch& search)
      : search_(search), current_(with_split_backwards(schedule)) {
    seconds_ = simulate(current_, search.costs).seconds;
  }

  Schedule run() && {
    for (int trial = 0; trial < search_.trials; ++trial) {
      Schedule moved = current_;
      for (std::uint64_t moves = 1 + below(3); moves > 0; --moves) move_one(moved);
      const std::optional<double> seconds = acceptable_seconds(moved);
      if (!seconds) continue;
      current_ = std::move(moved);
      seconds_ = *seconds;
    }
    return with_fused_backwards(std::move(current_));
  }

 private:
  std::uint64_t below(std::uint64_t end) { return mix(seed_, draws_++) % end; }

  // Moves an action of some stage up to four places forwards or backwards, but not past one of its
  // kind: every part keeps the order of micro-batches, on which the bits of sums depend, and the
  // simulation's wait for weights.
  void move_one(Schedule& schedule) {
    auto& actions = schedule.actions[below(schedule.actions.size())];
    const std::size_t from = below(actions.size());
    const std::size_t low = from - std::min<std::size_t>(from, 4);
    const std::size_t to = low + below(std::min(from + 4, actions.size() - 1) - low + 1);
    const auto at = [&](std::size_t place) {
      return actions.begin() + static_cast<std::ptrdiff_t>(place);
    };
    const auto [first, last] = std::minmax(from, to);
    const auto passes = [&](std::size_t place) {
      return place != from && actions[place].kind == actions[from].kind &&
             actions[place].chunk == actions[from].chunk;
    };
    for (std::size_t place = first; place <= last; ++place) {
      if (passes(place)) return;
    }
    if (from < to) std::rotate(at(from), at(from) + 1, at(to) + 1);
    if (to < from) std::rotate(at(to), at(from), at(from) + 1);
  }

  // The time of a schedule that is valid, fits the memory and is not slower; else nothing.
  std::optional<double> acceptable_seconds(const Schedule& schedule) const {
    if (!fits(schedule, search_)) return std::nullopt;
    try {
      const double seconds = simulate(schedule, search_.costs).seconds;
      if (clearly_less(seconds_, seconds)) return std::nullopt;
      validate(schedule);
      return seconds;
    } catch (const Error&) {  // actions in an order that is not possible
      return std::nullopt;
    }
  }

  static constexpr std::uint64_t seed_ = 1;

  const OrderSearch& search_;
  Schedule current_;
  double seconds_ = 0;
  std::uint64_t draws_ = 0;
};

}  // namespace

Schedule search_order(const Schedule& schedule, const OrderSearch& search) {
  const double before = simulate(schedule, search.costs).seconds;
  Schedule found = MoveSearch(schedule, search).run();
  const double after = simulate(found, search.costs).seconds;
  // Splitting a fused backward may take memory that there is not.
  return clearly_less(after, before) && fits(found, search) ? found : schedule;
}

}  // namespace masformer
