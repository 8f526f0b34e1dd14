#include "launch/training/slow_ranks.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace masformer {
namespace {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// The median of a sorted list without its element `left_out`.
double median_without(const std::vector<double>& sorted, std::size_t left_out) {
  const auto at = [&](std::size_t i) { return sorted[i < left_out ? i : i + 1]; };
  const std::size_t count = sorted.size() - 1, middle = count / 2;
  return count % 2 == 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
}

// Whether the plan gives each context rank the same pairs in attention, up to a twentieth.
bool has_equal_context_work(const RunPlan& plan) {
  std::vector<double> pairs(static_cast<std::size_t>(plan.mesh.context));
  double sum = 0;
  for (std::size_t rank = 0; rank < pairs.size(); ++rank) {
    for (const Span& span : spans_of(plan.model.blocks)) {
      const ContextLayer layer{span, plan.policy.context_full};
      pairs[rank] +=
          static_cast<double>(work_of(*plan.policy.sharding, layer, static_cast<int>(rank)).pairs);
    }
    sum += pairs[rank];
  }
  return std::ranges::max(pairs) * static_cast<double>(pairs.size()) <= 1.05 * sum;
}

}  // namespace

std::vector<int> groups_of_equal_work(const RunPlan& plan) {
  const bool equal = has_equal_context_work(plan);
  std::vector<int> groups;
  for (int rank = 0; rank < plan.mesh.size(); ++rank) {
    const Coordinate at = plan.mesh.coordinate(rank);
    groups.push_back(equal ? at.pipe : at.pipe * plan.mesh.context + at.context);
  }
  return groups;
}

SlowRanks::SlowRanks(std::vector<int> groups) : groups_(std::move(groups)), slow_(groups_.size()) {
  for (std::size_t rank = 0; rank < groups_.size(); ++rank) {
    const auto group = static_cast<std::size_t>(groups_[rank]);
    if (members_.size() <= group) members_.resize(group + 1);
    members_[group].push_back(rank);
  }
}

std::vector<double> SlowRanks::medians_of_peers(const std::vector<double>& busy) const {
  std::vector<double> peers(busy.size());
  for (const std::vector<std::size_t>& members : members_) {
    if (members.size() < 2) continue;
    std::vector<double> sorted;
    for (const std::size_t rank : members) sorted.push_back(busy[rank]);
    std::ranges::sort(sorted);
    for (const std::size_t rank : members) {
      const auto own = std::ranges::lower_bound(sorted, busy[rank]) - sorted.begin();
      peers[rank] = median_without(sorted, static_cast<std::size_t>(own));
    }
  }
  return peers;
}

int SlowRanks::steps_above(std::size_t rank) const {
  return static_cast<int>(std::ranges::count_if(steps_, [&](const Step& step) {
    return step.peers[rank] > 0 && step.busy[rank] > factor * step.peers[rank];
  }));
}

SlowRank SlowRanks::describe(std::size_t rank) const {
  std::vector<double> own, peers;
  for (const Step& step : steps_) {
    own.push_back(step.busy[rank]);
    peers.push_back(step.peers[rank]);
  }
  const auto& members = members_[static_cast<std::size_t>(groups_[rank])];
  return {.rank = static_cast<int>(rank),
          .peers = static_cast<int>(members.size()) - 1,
          .seconds = median(std::move(own)),
          .peer_seconds = median(std::move(peers))};
}

std::optional<std::vector<SlowRank>> SlowRanks::add(const std::vector<double>& busy) {
  steps_.push_back({busy, medians_of_peers(busy)});
  if (steps_.size() > window) steps_.pop_front();
  if (steps_.size() < window) return {};
  std::vector<bool> now(slow_.size());
  std::vector<SlowRank> found;
  for (std::size_t rank = 0; rank < now.size(); ++rank) {
    now[rank] = steps_above(rank) >= (slow_[rank] ? stays : becomes);
    if (now[rank]) found.push_back(describe(rank));
  }
  if (std::exchange(slow_, now) == now) return {};
  return found;
}

std::string place_of_rank(const std::string& host, const Coordinate& at) {
  return fmt::format("{} (stage {}, data {}, context {}, tensor {})", host, at.pipe, at.data,
                     at.context, at.tensor);
}

std::string name_of_rank(int rank, const std::string& host, const Coordinate& at) {
  return fmt::format("rank {} on {}", rank, place_of_rank(host, at));
}

std::string describe(const std::vector<SlowRank>& slow, const std::vector<std::string>& hosts,
                     const Mesh& mesh) {
  if (slow.empty()) return "no rank is slow any more";
  std::vector<std::string> names;
  for (const SlowRank& each : slow) {
    names.push_back(fmt::format(
        "{} is slow: it computes {:.3f} s in a step, {} {:.3f} s",
        name_of_rank(each.rank, hosts[static_cast<std::size_t>(each.rank)],
                     mesh.coordinate(each.rank)),
        each.seconds, each.peers == 1 ? "its peer" : fmt::format("its {} peers", each.peers),
        each.peer_seconds));
  }
  return fmt::format(
      "{}; all ranks wait for the slowest: look there for other programs, heat or a failing "
      "device, or leave that host out",
      fmt::join(names, "\n"));
}

}  // namespace masformer
