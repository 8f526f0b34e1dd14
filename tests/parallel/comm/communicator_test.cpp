#include "parallel/comm/communicator.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include <gtest/gtest.h>

#include "parallel/comm/collective_errors.h"
#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/mpi/support.h"
#include "parallel/comm/process_groups.h"
#include "parallel/comm/self_communicator.h"
#include "runtime/error.h"
#include "tests/support/transports.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using test::Cargo;
using test::private_world;
using test::world;

constexpr std::int64_t sizes[] = {0, 1, 17, 100003};

template <class T>
Tensor tensor_of(std::vector<T>& values) {
  return {values.data(), {std::ssize(values)}, dtype_of<T>(), Device::cpu};
}

// Integers that every dtype represents exactly, and whose sums over ranks it represents exactly,
// too.
template <class T>
std::vector<T> numbers(std::int64_t size, int rank) {
  std::vector<T> values(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const auto number = static_cast<int>((i * 7 + rank * 13) % 101 - 50);
    values[static_cast<std::size_t>(i)] = static_cast<T>(static_cast<float>(number));
  }
  return values;
}

// Calls test.operator()<T>() for each type that ranks can exchange.
template <class Test>
void for_each_type(const Test& test) {
  test.template operator()<float>();
  test.template operator()<double>();
  test.template operator()<std::int32_t>();
  test.template operator()<bfloat16>();
}

class Collectives : public test::OnEachWay {
 protected:
  // The sum of values_of(rank) over all ranks, in the order of ranks.
  template <class T>
  static std::vector<T> sum_over_ranks(const std::function<std::vector<T>(int)>& values_of) {
    std::vector<T> sum = values_of(0);
    for (int rank = 1; rank < world().size(); ++rank) {
      const auto values = values_of(rank);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = static_cast<T>(sum[i] + values[i]);
    }
    return sum;
  }
};
class Messages : public test::OnEachWay {};
class Shards : public Collectives {};

INSTANTIATE_TEST_SUITE_P(, Collectives, testing::ValuesIn(test::ways()), test::name_of_way);
INSTANTIATE_TEST_SUITE_P(, Messages, testing::ValuesIn(test::ways()), test::name_of_way);
INSTANTIATE_TEST_SUITE_P(, Shards, testing::ValuesIn(test::ways()), test::name_of_way);

TEST_P(Collectives, AllReduceGivesTheSumOfAllRanks) {
  for_each_type([&]<class T>() {
    for (const std::int64_t size : sizes) {
      Cargo<T> values(GetParam(), numbers<T>(size, world().rank()));
      group().all_reduce(values, Reduction::sum).wait();
      EXPECT_EQ(values.values(),
                sum_over_ranks<T>([&](int rank) { return numbers<T>(size, rank); }));
    }
  });
}

TEST_P(Collectives, AllReduceGivesTheMaximumOfAllRanks) {
  for_each_type([&]<class T>() {
    if (std::is_same_v<T, bfloat16>) return;
    for (const std::int64_t size : sizes) {
      std::vector<T> largest = numbers<T>(size, 0);
      for (int rank = 1; rank < world().size(); ++rank) {
        const auto values = numbers<T>(size, rank);
        for (std::size_t i = 0; i < largest.size(); ++i) {
          largest[i] = std::max(largest[i], values[i]);
        }
      }
      Cargo<T> values(GetParam(), numbers<T>(size, world().rank()));
      group().all_reduce(values, Reduction::max).wait();
      EXPECT_EQ(values.values(), largest);
    }
  });
}

TEST_P(Collectives, BroadcastGivesEveryRankTheRootsNumbers) {
  for_each_type([&]<class T>() {
    for (const std::int64_t size : sizes) {
      for (int root = 0; root < world().size(); ++root) {
        Cargo<T> values(GetParam(), numbers<T>(size, world().rank()));
        group().broadcast(values, root).wait();
        EXPECT_EQ(values.values(), numbers<T>(size, root));
      }
    }
  });
}

// Every rank sends messages of all sizes to all of its peers, and to itself if the transport can.
// It starts all sends before it receives, and allocates and frees no memory meanwhile, since that
// waits for the device.
TEST_P(Messages, ArriveInTheOrderOfSending) {
  for_each_type([&]<class T>() {
    std::vector<Cargo<T>> sent, received;
    for (const int peer : peers()) {
      for (const std::int64_t size : sizes) {
        sent.emplace_back(GetParam(), numbers<T>(size, world().rank() + 3 * peer));
        received.emplace_back(GetParam(), std::vector<T>(static_cast<std::size_t>(size), T(99.0F)));
      }
    }
    const std::size_t messages = std::size(sizes);
    const auto peer_of = [&](std::size_t i) { return peers()[i / messages]; };
    std::vector<Request> sends;
    for (std::size_t i = 0; i < sent.size(); ++i) sends.push_back(pipe().send(sent[i], peer_of(i)));
    for (std::size_t peer = peers().size(); peer-- > 0;) {
      for (std::size_t i = peer * messages; i < (peer + 1) * messages; ++i) {
        Request request = pipe().receive(received[i], peer_of(i));
        while (!request.done()) {
        }
        request.wait();
        EXPECT_EQ(received[i].values(),
                  numbers<T>(sizes[i % messages], peer_of(i) + 3 * world().rank()));
      }
    }
    for (Request& request : sends) request.wait();
    for (Request& request : sends) EXPECT_TRUE(request.done());
  });
}

// Fractions of very different magnitudes, so that the last bits of a sum depend on its order.
template <class T = float>
std::vector<T> fractions(std::int64_t size, int rank) {
  std::vector<T> values(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<T>(
        std::ldexp(1.0F / static_cast<float>(3 + rank + i % 1009), (5 * i + 3 * rank) % 20));
  }
  return values;
}

TEST_P(Collectives, AllReduceGivesEveryRankTheSameBitsEveryTime) {
  for (const std::int64_t size : sizes) {
    std::string first;
    for (int time = 0; time < 3; ++time) {
      Cargo<float> sum(GetParam(), fractions(size, world().rank()));
      group().all_reduce(sum, Reduction::sum).wait();
      const auto& values = sum.values();
      const std::string bits(reinterpret_cast<const char*>(values.data()),
                             values.size() * sizeof(float));
      if (time == 0) first = bits;
      EXPECT_TRUE(bits == first) << "another result at time " << time;
      for (const std::string& other : world().all_gather(bits)) EXPECT_TRUE(other == bits);
    }
  }
}

// Shapes with rows on some ranks only, with equally many rows on all ranks, and with shards that
// are sent in several pieces of a mebibyte.
const std::vector<Shape> matrices{{0, 3}, {1, 1},      {2, 5},    {3, 1000},   {17, 1},
                                  {8, 9}, {5, 100003}, {1003, 7}, {9, 300007}, {12, 250001}};

// The error of a sum of positive numbers that NCCL may have; it adds in its own order.
float bound(const test::Way& way, float sum, float unit) {
  return way.nccl() ? sum * unit * static_cast<float>(world().size()) : 0;
}

// All operations are under way at once, and are waited for from the last to the first.
TEST_P(Shards, ReduceScatterSumsInTheOrderOfRanks) {
  std::vector<Cargo<float>> all;
  std::vector<Request> requests;
  for (const Shape& shape : matrices) {
    all.emplace_back(GetParam(), fractions(shape.elements(), world().rank()), shape);
  }
  for (const Cargo<float>& each : all) requests.push_back(group().reduce_scatter(each));
  for (std::size_t i = all.size(); i-- > 0;) {
    if (i % 2 == 0) {
      while (!requests[i].done()) {
      }
    }
    requests[i].wait();
    const auto sum =
        sum_over_ranks<float>([&](int rank) { return fractions(matrices[i].elements(), rank); });
    const ShardRange own = shard_range(matrices[i][0], world().size(), world().rank());
    const auto& values = all[i].values();
    for (std::int64_t j = 0; j < own.count * matrices[i][1]; ++j) {
      const auto at = static_cast<std::size_t>(own.begin * matrices[i][1] + j);
      ASSERT_NEAR(values[at], sum[at], bound(GetParam(), sum[at], 0x1p-23F))
          << matrices[i].to_string() << ", element " << at;
    }
  }
}

TEST_P(Shards, AllGatherGivesEveryRankAllRows) {
  std::vector<Cargo<float>> all;
  std::vector<Request> requests;
  for (const Shape& shape : matrices) {
    const ShardRange own = shard_range(shape[0], world().size(), world().rank());
    auto values = fractions(shape.elements(), 0);
    std::fill_n(values.begin(), own.begin * shape[1], -1.0F);
    std::fill(values.begin() + (own.begin + own.count) * shape[1], values.end(), -1.0F);
    all.emplace_back(GetParam(), values, shape);
  }
  for (const Cargo<float>& each : all) requests.push_back(group().all_gather(each));
  for (std::size_t i = all.size(); i-- > 0;) {
    requests[i].wait();
    EXPECT_EQ(all[i].values(), fractions(matrices[i].elements(), 0)) << matrices[i].to_string();
  }
}

TEST_P(Shards, ReduceScatterAndAllGatherMoveEachType) {
  for_each_type([&]<class T>() {
    for (const std::int64_t rows : {1, 4, 7, 12}) {
      constexpr std::int64_t columns = 1001;
      Cargo<T> x(GetParam(), numbers<T>(rows * columns, world().rank()), {rows, columns});
      Request summed = group().reduce_scatter(x);
      summed.wait();
      group().all_gather(x).wait();
      EXPECT_EQ(x.values(),
                sum_over_ranks<T>([&](int rank) { return numbers<T>(rows * columns, rank); }));
    }
  });
}

// bf16 is summed in fp32, in the order of ranks, and rounded once. NCCL rounds each time.
TEST_P(Collectives, AllReduceSumsBf16InFp32) {
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{1001}, std::int64_t{700001}}) {
    const auto sum = sum_over_ranks<float>([&](int rank) {
      const auto values = fractions<bfloat16>(size, rank);
      return std::vector<float>(values.begin(), values.end());
    });
    Cargo<bfloat16> summed(GetParam(), fractions<bfloat16>(size, world().rank()));
    group().all_reduce(summed, Reduction::sum).wait();
    const auto& values = summed.values();
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const float expected = GetParam().nccl() ? sum[i] : float(bfloat16(sum[i]));
      ASSERT_NEAR(float(values[i]), expected, bound(GetParam(), sum[i], 0x1p-8F))
          << "element " << i << " of " << size;
    }
  }
}

// Two collectives are under way at once. Work that is issued after wait() sees the results.
TEST_P(Collectives, RunAfterEarlierWorkAndBeforeWorkAfterWait) {
  constexpr std::int64_t size = 100003;
  Cargo<float> x(GetParam(), numbers<float>(size, 0)), y(GetParam(), numbers<float>(size, 1));
  const auto add = [](Cargo<float>& numbers, float more) {
    for (float& each : numbers.values()) each += more;
    numbers.put();
  };
  for (int time = 0; time < 3; ++time) {
    Request of_x = group().all_reduce(x, Reduction::max);
    Request of_y = group().broadcast(y, time % world().size());
    of_y.wait();
    add(y, 1);
    of_x.wait();
    add(x, 2);
  }
  auto expected_x = numbers<float>(size, 0), expected_y = numbers<float>(size, 1);
  for (float& each : expected_x) each += 6;
  for (float& each : expected_y) each += 3;
  EXPECT_EQ(x.values(), expected_x);
  EXPECT_EQ(y.values(), expected_y);
}

TEST(ControlPlane, AllGatherCarriesAnyBytes) {
  const auto text_of = [](int rank) {
    std::string text(rank == 0 ? 3'000'000 : static_cast<std::size_t>(rank - 1) * 5, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + 7);
    return text;
  };
  const auto texts = world().all_gather(text_of(world().rank()));
  ASSERT_EQ(std::ssize(texts), world().size());
  for (int rank = 0; rank < world().size(); ++rank) {
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)], text_of(rank));
  }
  world().barrier();
}

TEST(ControlPlane, SumOverAddsTheNumbersOfAllRanks) {
  const int ranks = world().size();
  EXPECT_EQ(sum_over(world(), 0.5 + world().rank()), 0.5 * ranks + ranks * (ranks - 1) / 2);
}

// Returns the message that throw_collectively() throws on this rank; "agreed" if it does not throw.
std::string thrown_message(const std::string& complaint, bool failure) {
  try {
    throw_collectively(world(), complaint, failure);
  } catch (const UsageError& error) {
    EXPECT_FALSE(failure);
    return error.what();
  } catch (const Error& error) {
    EXPECT_TRUE(failure);
    return error.what();
  }
  return "agreed";
}

TEST(ControlPlane, AllRanksThrowTheJoinedComplaints) {
  const int rank = world().rank();
  const int ranks = world().size();
  EXPECT_EQ(thrown_message("", false), "agreed");
  for (const bool failure : {false, true}) {
    EXPECT_EQ(thrown_message("too wide", failure), "too wide") << "all ranks alike";
    if (ranks == 1) continue;
    EXPECT_EQ(thrown_message(rank == 1 ? "disk full" : "", failure), "rank 1: disk full");
  }
  if (ranks != 4) return;
  EXPECT_EQ(thrown_message(rank == 1 ? "b" : "a", true), "ranks 0, 2-3: a\nrank 1: b");
  EXPECT_EQ(thrown_message(rank == 0   ? ""
                           : rank == 2 ? "b"
                                       : "a",
                           true),
            "ranks 1, 3: a\nrank 2: b");
}

// A rank without memory fails alone, without waiting for the others.
TEST(ControlPlane, IsNotNeededByARankWithoutMemory) {
  if (world().rank() == 0) {
    EXPECT_THROW(run_collectively(world(), [] { throw std::bad_alloc(); }), std::bad_alloc);
  }
  world().barrier();
}

// The same two ranks exchange messages in two groups, which do not mix whatever the order.
TEST(MpiGroups, KeepTheirMessagesApart) {
  const auto first = private_world(1);
  const auto second = private_world(2);
  const int to = (world().rank() + 1) % world().size();
  const int from = (world().rank() + world().size() - 1) % world().size();
  auto one = numbers<float>(100003, 1);
  auto two = numbers<float>(100003, 2);
  Request send_one = first->send(tensor_of(one), to);
  Request send_two = second->send(tensor_of(two), to);
  std::vector<float> got_one(one.size()), got_two(two.size());
  Request second_arrival = second->receive(tensor_of(got_two), from);
  Request first_arrival = first->receive(tensor_of(got_one), from);
  second_arrival.wait();
  first_arrival.wait();
  EXPECT_EQ(got_one, one);
  EXPECT_EQ(got_two, two);
  send_one.wait();
  send_two.wait();
}

TEST(MpiGroups, RefuseWrongSizesAndMembers) {
  EXPECT_THROW(make_process_groups(private_world(1), Mesh{world().size() + 1, 1, 1, 1}), Error);
  EXPECT_THROW(make_mpi_group(world(), {}, 1), Error);
  EXPECT_THROW(make_mpi_group(SelfCommunicator(), {0}, 1), Error);
  const ProcessGroups alone = make_process_groups(std::make_unique<SelfCommunicator>(), Mesh{});
  EXPECT_EQ(alone.embedding->size(), 1);
}

class Refusals : public test::OnEachWay {};
INSTANTIATE_TEST_SUITE_P(, Refusals, testing::ValuesIn(test::ways()), test::name_of_way);

TEST_P(Refusals, ThrowErrorForUnusableArguments) {
  Cargo<float> values(GetParam(), std::vector<float>(12), {3, 4});
  Cargo<bfloat16> halves(GetParam(), std::vector<bfloat16>(12));
  const Tensor matrix = values;
  EXPECT_THROW(group().all_reduce(matrix.slice(1, 0, 2), Reduction::sum).wait(), Error);
  EXPECT_THROW(group().all_reduce(halves, Reduction::max).wait(), Error);
  EXPECT_THROW(pipe().send(matrix, world().size()).wait(), Error);
  EXPECT_THROW(pipe().receive(matrix, -1).wait(), Error);
  EXPECT_THROW(SelfCommunicator().send(matrix, 0).wait(), Error);
  EXPECT_THROW(SelfCommunicator().receive(matrix, 0).wait(), Error);
  if (GetParam().nccl()) {
    EXPECT_THROW(pipe().send(matrix, world().rank()).wait(), Error);
    EXPECT_THROW(group().send(matrix, (world().rank() + 1) % world().size()).wait(), Error);
    EXPECT_THROW(pipe().all_reduce(matrix, Reduction::sum).wait(), Error);
    return;
  }
  // The receiver expects another size than was sent.
  for (const std::size_t size : {3, 12}) {
    Cargo<float> sent(GetParam(), std::vector<float>(7));
    Cargo<float> received(GetParam(), std::vector<float>(size));
    Request send = group().send(sent, world().rank());
    EXPECT_THROW(group().receive(received, world().rank()).wait(), Error) << size;
    send.wait();
  }
}

TEST(MessagePieces, CoverMessagesOfAnySize) {
  const std::int64_t gib = std::int64_t{1} << 30;
  EXPECT_TRUE(message_pieces({0, 0}, 8).empty());
  for (const std::int64_t element : {1, 4, 8}) {
    for (const std::int64_t size : {std::int64_t{1}, gib / element, gib / element + 1, 5 * gib}) {
      std::int64_t end = 0;
      for (const ShardRange& piece : message_pieces({0, size}, element)) {
        EXPECT_EQ(piece.begin, end);
        EXPECT_GT(piece.count, 0);
        EXPECT_LE(piece.count * element, gib);
        end += piece.count;
      }
      EXPECT_EQ(end, size);
    }
  }
}

}  // namespace
}  // namespace masformer
