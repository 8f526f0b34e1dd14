#include "parallel/comm/communicator.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

// "rank 1" or "ranks 0, 2-3", from ascending numbers.
std::string name_ranks(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    runs.push_back(last == i ? fmt::format("{}", ranks[i])
                             : fmt::format("{}-{}", ranks[i], ranks[last]));
    i = last + 1;
  }
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(runs, ", "));
}

// Lists each distinct complaint once, with the ranks that made it, in the order of their lowest
// rank.
std::string join_complaints(const std::vector<std::string>& complaints) {
  std::vector<std::string> lines;
  for (auto first = complaints.begin(); first != complaints.end(); ++first) {
    if (first->empty() || std::find(complaints.begin(), first, *first) != first) continue;
    std::vector<int> ranks;
    for (auto it = first; it != complaints.end(); ++it) {
      if (*it == *first) ranks.push_back(static_cast<int>(it - complaints.begin()));
    }
    if (ranks.size() == complaints.size()) return *first;
    lines.push_back(fmt::format("{}: {}", name_ranks(ranks), *first));
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace

double sum_over(Communicator& group, double value) {
  group.all_reduce(Tensor(&value, {1}, DType::f64, Device::cpu), Reduction::sum).wait();
  return value;
}

void throw_collectively(Communicator& group, const std::string& complaint, bool failure) {
  const std::string message = join_complaints(group.all_gather(complaint));
  if (message.empty()) return;
  if (failure) throw AgreedError(message);
  throw AgreedUsageError(message);
}

}  // namespace masformer
