#include "parallel/comm/clock_offset.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "parallel/comm/json_text.h"

namespace masformer {
namespace {

constexpr int exchanges = 16;

// Whole numbers up to 2^53 are exact in fp64: clocks that have run for up to 104 days. Beyond that,
// nanoseconds are rounded to even ones.
Tensor as_tensor(double& number) {
  return Tensor(&number, {1}, DType::f64, Device::cpu);
}

// Rank 0's part: answers each message with its time.
void answer(Communicator& world, int rank, const std::function<std::int64_t()>& clock) {
  for (int i = 0; i < exchanges; ++i) {
    double number = 0;
    world.receive(as_tensor(number), rank).wait();
    number = static_cast<double>(clock());
    world.send(as_tensor(number), rank).wait();
  }
}

std::int64_t measure(Communicator& world, const std::function<std::int64_t()>& clock) {
  std::int64_t fastest = std::numeric_limits<std::int64_t>::max(), offset = 0;
  for (int i = 0; i < exchanges; ++i) {
    double number = 0;
    const std::int64_t begin = clock();
    world.send(as_tensor(number), 0).wait();
    world.receive(as_tensor(number), 0).wait();
    const std::int64_t took = clock() - begin;
    if (took >= fastest) continue;
    fastest = took;
    offset = static_cast<std::int64_t>(number) - (begin + took / 2);
  }
  return offset;
}

}  // namespace

std::int64_t clock_offset(Communicator& world, const std::string& host,
                          const std::function<std::int64_t()>& clock) {
  const std::vector<std::string> hosts = world.all_gather(host);
  const auto first_of = [&](const std::string& name) {
    return static_cast<int>(std::ranges::find(hosts, name) - hosts.begin());
  };
  const int own_first = first_of(host);
  std::int64_t offset = 0;
  for (int rank = 1; rank < world.size(); ++rank) {
    if (first_of(hosts[static_cast<std::size_t>(rank)]) != rank) continue;
    if (world.rank() == 0) answer(world, rank, clock);
    if (world.rank() == rank) offset = measure(world, clock);
  }
  return all_gather_json(world, offset)[static_cast<std::size_t>(own_first)];
}

}  // namespace masformer
