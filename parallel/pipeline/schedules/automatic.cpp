#include <algorithm>
#include <utility>

#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedules/least_step.h"
#include "parallel/pipeline/schedules/list_scheduler.h"
#include "parallel/pipeline/schedules/order_search.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

using Forward = ListPreferences::Forward;

struct TriedSchedule {
  Schedule schedule;
  double excess = 0;   // over the memory
  double seconds = 0;  // simulated

  // The least excess comes first, then the least time. Ties go to the schedule that was tried
  // first.
  bool is_better_than(const TriedSchedule& other) const {
    if (clearly_less(excess, other.excess)) return true;
    return !clearly_less(other.excess, excess) && clearly_less(seconds, other.seconds);
  }
};

class ScheduleChoice {
 public:
  explicit ScheduleChoice(const ScheduleRequest& request)
      : request_(request), has_costs_(!request.costs.parts.empty()) {
    if (!has_costs_) {
      const auto parts = Placement::round_robin(request.stages, request.chunks).parts();
      request_.costs.parts.assign(static_cast<std::size_t>(parts),
                                  {.forward = 1, .backward_input = 1, .backward_weight = 1});
    }
    if (request_.memory_limit.empty()) request_.memory_limit = memory_of_1f1b(request_);
    require(std::ssize(request_.memory_limit) == request.stages,
            "there are memory limits of {} stages, but {} stages", request_.memory_limit.size(),
            request.stages);
  }

  void try_fixed() {
    for (const ScheduleKind& kind : schedule_kinds()) {
      const bool takes = request_.chunks >= kind.min_chunks && request_.chunks <= kind.max_chunks;
      if (takes && kind.make != automatic) consider(kind.make(request_));
    }
  }

  void try_lists(const Placement& placement) {
    ListRules rules{.costs = request_.costs,
                    .memory = request_.memory,
                    .memory_limit = request_.memory_limit,
                    .preferences = {}};
    for (const Forward forward : {Forward::last, Forward::first, Forward::in_turn}) {
      for (const double delay : {0.0, 0.5, 1.0}) {
        for (const bool early_parts_first : {false, true}) {
          if (early_parts_first && request_.chunks == 1) continue;  // there is only one part
          rules.preferences.forward = forward;
          rules.preferences.delay = delay;
          rules.preferences.early_parts_first = early_parts_first;
          auto found = list_schedule(placement, request_.micro_batches, rules);
          if (found) consider(std::move(*found));
        }
      }
    }
  }

  // Searches near the best of each placement. The number of trials bounds the time, to a quarter of
  // a second or so for small steps. In large ones the lists come close to the best by themselves,
  // and a move changes little. Skips a schedule that reaches the lower bound.
  void search_near() {
    if (!has_costs_ || request_.stages == 1) return;  // else the lists are good enough
    const int actions = 3 * request_.stages * request_.chunks * request_.micro_batches;
    const int passes = actions <= 128 ? 1 << 18 : 1 << 15, most = 1 << 14;
    const OrderSearch search{.costs = request_.costs,
                             .memory = request_.memory,
                             .memory_limit = request_.memory_limit,
                             .trials = std::min(passes / actions, most)};
    for (const TriedSchedule& tried : std::vector(bests_)) {
      if (tried.excess == 0 && !reaches_bound(tried)) {
        consider(search_order(tried.schedule, search));
      }
    }
  }

  Schedule best() && {
    TriedSchedule* best = &bests_.front();
    for (TriedSchedule& each : bests_) {
      if (each.is_better_than(*best)) best = &each;
    }
    return std::move(best->schedule);
  }

 private:
  bool reaches_bound(const TriedSchedule& tried) const {
    const double least = least_step_seconds(tried.schedule.placement, request_.micro_batches,
                                            request_.costs, request_.memory, request_.memory_limit);
    return !clearly_less(least, tried.seconds);
  }

  void consider(Schedule schedule) {
    TriedSchedule tried{.schedule = std::move(schedule)};
    const std::vector<double> peaks = peak_memory(tried.schedule, request_.memory);
    for (std::size_t stage = 0; stage < peaks.size(); ++stage) {
      const double limit = request_.memory_limit[stage];
      if (!fits_memory(peaks[stage], limit)) {
        tried.excess = std::max(tried.excess, peaks[stage] - limit);
      }
    }
    tried.seconds = simulate(tried.schedule, request_.costs).seconds;
    for (TriedSchedule& best : bests_) {
      if (!(best.schedule.placement == tried.schedule.placement)) continue;
      if (tried.is_better_than(best)) best = std::move(tried);
      return;
    }
    bests_.push_back(std::move(tried));
  }

  ScheduleRequest request_;
  bool has_costs_;                    // otherwise all passes take the same time
  std::vector<TriedSchedule> bests_;  // one for each placement
};

}  // namespace

// The schedules are simulated, so whichever rule suits the costs is found: none of them suits all.
Schedule automatic(const ScheduleRequest& request) {
  ScheduleChoice choice(request);
  choice.try_fixed();
  choice.try_lists(Placement::round_robin(request.stages, request.chunks));
  if (request.chunks == 2) choice.try_lists(Placement::v_shape(request.stages));
  choice.search_near();
  return std::move(choice).best();
}

std::vector<double> memory_of_1f1b(const ScheduleRequest& request) {
  double most = 0;
  for (int stage = 0; stage < request.stages; ++stage) {
    double held = 0;  // by a micro-batch
    for (int chunk = 0; chunk < request.chunks; ++chunk) {
      const int part = stage * request.chunks + chunk;
      held += request.memory.empty() ? PartMemory{}.until_input
                                     : request.memory[static_cast<std::size_t>(part)].until_input;
    }
    most = std::max(most, held * std::min(request.micro_batches, request.stages - stage));
  }
  return std::vector(static_cast<std::size_t>(request.stages), most);
}

}  // namespace masformer
