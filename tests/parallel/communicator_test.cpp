#include "parallel/communicator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include "parallel/communicators.h"
#include "parallel/mpi_communicator.h"
#include "parallel/mpi_support.h"
#include "parallel/self_communicator.h"
#include "runtime/error.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using test::world;

constexpr std::int64_t sizes[] = {0, 1, 17, 100003};

template <class T>
Tensor tensor_of(std::vector<T>& values) {
  return {values.data(), {std::ssize(values)}, dtype_of<T>(), Device::cpu};
}

// Whole numbers that every dtype holds exactly, and so do their sums over ranks.
template <class T>
std::vector<T> numbers(std::int64_t size, int rank) {
  std::vector<T> values(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<T>((i * 7 + rank * 13) % 101 - 50);
  }
  return values;
}

std::unique_ptr<Communicator> private_world(int tag) {
  std::vector<int> all(static_cast<std::size_t>(world().size()));
  std::iota(all.begin(), all.end(), 0);
  return make_mpi_group(world(), all, tag);
}

std::vector<Mesh> meshes_of(int ranks) {
  std::vector<Mesh> meshes;
  for (int p = 1; p <= ranks; ++p) {
    for (int d = 1; d <= ranks; ++d) {
      for (int c = 1; c <= ranks; ++c) {
        if (ranks % (p * d * c) == 0) meshes.push_back({p, d, c, ranks / (p * d * c)});
      }
    }
  }
  return meshes;
}

template <class T>
class Typed : public testing::Test {};
using Types = testing::Types<float, double, std::int32_t>;  // bf16: below
TYPED_TEST_SUITE(Typed, Types);

TYPED_TEST(Typed, AllReduceIsTheSumOrTheLargestOfAllRanks) {
  for (const std::int64_t size : sizes) {
    std::vector<TypeParam> sum(static_cast<std::size_t>(size));
    std::vector<TypeParam> largest(sum.size(), TypeParam{-51});
    for (int rank = 0; rank < world().size(); ++rank) {
      const auto values = numbers<TypeParam>(size, rank);
      for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += values[i];
        largest[i] = std::max(largest[i], values[i]);
      }
    }
    auto values = numbers<TypeParam>(size, world().rank());
    world().all_reduce(tensor_of(values), Reduction::sum).wait();
    EXPECT_EQ(values, sum);
    values = numbers<TypeParam>(size, world().rank());
    world().all_reduce(tensor_of(values), Reduction::max).wait();
    EXPECT_EQ(values, largest);
  }
}

TYPED_TEST(Typed, BroadcastGivesEveryRankTheRootsNumbers) {
  for (const std::int64_t size : sizes) {
    for (int root = 0; root < world().size(); ++root) {
      auto values = numbers<TypeParam>(size, world().rank());
      world().broadcast(tensor_of(values), root).wait();
      EXPECT_EQ(values, numbers<TypeParam>(size, root));
    }
  }
}

// Every rank sends to every rank, itself too, messages of all sizes; they arrive in order.
TYPED_TEST(Typed, MessagesArriveInTheOrderOfSending) {
  const int ranks = world().size();
  std::vector<std::vector<TypeParam>> sent, received;
  std::vector<Event> sends;
  sent.reserve(100);
  for (int to = 0; to < ranks; ++to) {
    for (const std::int64_t size : sizes) {
      sent.push_back(numbers<TypeParam>(size, world().rank() + 3 * to));
      sends.push_back(world().send(tensor_of(sent.back()), to));
    }
  }
  for (int from = ranks - 1; from >= 0; --from) {
    for (const std::int64_t size : sizes) {
      std::vector<TypeParam> values(static_cast<std::size_t>(size), TypeParam{99});
      Event event = world().receive(tensor_of(values), from);
      while (!event.done()) {
      }
      event.wait();
      EXPECT_EQ(values, numbers<TypeParam>(size, from + 3 * world().rank()));
    }
  }
  for (Event& event : sends) event.wait();
  EXPECT_TRUE(sends.front().done());
}

// Fractions of very different sizes, so that the order of a sum shows in its last bits.
std::vector<float> fractions(std::int64_t size, int rank) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    values[static_cast<std::size_t>(i)] =
        std::ldexp(1.0F / static_cast<float>(3 + rank + i % 1009), (5 * i + 3 * rank) % 20);
  }
  return values;
}

TEST(AllReduce, GivesEveryRankTheSameBitsEveryTime) {
  for (const std::int64_t size : sizes) {
    std::string first;
    for (int time = 0; time < 3; ++time) {
      auto values = fractions(size, world().rank());
      world().all_reduce(tensor_of(values), Reduction::sum).wait();
      const std::string bits(reinterpret_cast<const char*>(values.data()),
                             values.size() * sizeof(float));
      if (time == 0) first = bits;
      EXPECT_TRUE(bits == first) << "another result at time " << time;
      for (const std::string& other : world().all_gather(bits)) EXPECT_TRUE(other == bits);
    }
  }
}

// Rows and columns that leave some ranks without a row, and that take several pieces of a mebibyte.
const std::vector<std::pair<std::int64_t, std::int64_t>> matrices{
    {0, 3}, {1, 1}, {2, 5}, {3, 1000}, {17, 1}, {5, 100003}, {1003, 7}, {9, 300007}};

Tensor matrix_of(std::vector<float>& values, std::pair<std::int64_t, std::int64_t> shape) {
  return {values.data(), {shape.first, shape.second}, DType::f32, Device::cpu};
}

// All are under way at once, and finished from the last to the first.
TEST(Shares, HoldTheSumInTheOrderOfRanks) {
  std::vector<std::vector<float>> all;
  std::vector<Event> events;
  for (const auto& shape : matrices) {
    all.push_back(fractions(shape.first * shape.second, world().rank()));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    events.push_back(world().reduce_scatter(matrix_of(all[i], matrices[i])));
  }
  for (std::size_t i = all.size(); i-- > 0;) {
    if (i % 2 == 0) {
      while (!events[i].done()) {
      }
    }
    events[i].wait();
    const auto [rows, columns] = matrices[i];
    auto sum = fractions(rows * columns, 0);
    for (int rank = 1; rank < world().size(); ++rank) {
      const auto more = fractions(rows * columns, rank);
      for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += more[j];
    }
    const Part own = share(rows, world().size(), world().rank());
    for (std::int64_t j = own.begin * columns; j < (own.begin + own.count) * columns; ++j) {
      const auto at = static_cast<std::size_t>(j);
      ASSERT_EQ(all[i][at], sum[at]) << rows << " x " << columns << ", element " << j;
    }
  }
}

// bf16 is added in fp32, in the order of ranks, and rounded once.
TEST(Bf16, IsSummedInFp32) {
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{1001}, std::int64_t{700001}}) {
    const auto rounded = [&](int rank) {
      std::vector<bfloat16> values;
      for (const float x : fractions(size, rank)) values.emplace_back(x);
      return values;
    };
    std::vector<float> sum(static_cast<std::size_t>(size));
    for (int rank = 0; rank < world().size(); ++rank) {
      const auto values = rounded(rank);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += float(values[i]);
    }
    auto values = rounded(world().rank());
    world().all_reduce(tensor_of(values), Reduction::sum).wait();
    for (std::size_t i = 0; i < sum.size(); ++i) {
      ASSERT_EQ(values[i].bits, bfloat16(sum[i]).bits) << "element " << i << " of " << size;
    }
  }
}

TEST(Shares, AreGatheredOnEveryRank) {
  std::vector<std::vector<float>> all;
  std::vector<Event> events;
  for (const auto& [rows, columns] : matrices) {
    all.push_back(fractions(rows * columns, 0));
    const Part own = share(rows, world().size(), world().rank());
    auto& values = all.back();
    std::fill_n(values.begin(), own.begin * columns, -1.0F);
    std::fill(values.begin() + (own.begin + own.count) * columns, values.end(), -1.0F);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    events.push_back(world().all_gather(matrix_of(all[i], matrices[i])));
  }
  for (std::size_t i = all.size(); i-- > 0;) {
    events[i].wait();
    EXPECT_EQ(all[i], fractions(matrices[i].first * matrices[i].second, 0));
  }
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

TEST(ControlPlane, SumOverAddsOneNumberARank) {
  const int ranks = world().size();
  EXPECT_EQ(sum_over(world(), 0.5 + world().rank()), 0.5 * ranks + ranks * (ranks - 1) / 2);
}

// What a rank says is a function of its number; all ranks throw the same.
std::string what_all_throw(const std::string& complaint, bool failure) {
  try {
    agree(world(), complaint, failure);
  } catch (const UsageError& error) {
    EXPECT_FALSE(failure);
    return error.what();
  } catch (const Error& error) {
    EXPECT_TRUE(failure);
    return error.what();
  }
  return "agreed";
}

TEST(ControlPlane, AgreeGathersComplaints) {
  const int rank = world().rank();
  const int ranks = world().size();
  EXPECT_EQ(what_all_throw("", false), "agreed");
  for (const bool failure : {false, true}) {
    EXPECT_EQ(what_all_throw("too wide", failure), "too wide") << "all ranks alike";
    if (ranks == 1) continue;
    EXPECT_EQ(what_all_throw(rank == 1 ? "disk full" : "", failure), "rank 1: disk full");
  }
  if (ranks != 4) return;
  EXPECT_EQ(what_all_throw(rank == 1 ? "b" : "a", true), "ranks 0, 2-3: a\nrank 1: b");
  EXPECT_EQ(what_all_throw(rank == 0   ? ""
                           : rank == 2 ? "b"
                                       : "a",
                           true),
            "ranks 1, 3: a\nrank 2: b");
}

TEST(Groups, OfAMeshAddUpTheRightRanks) {
  for (const Mesh& mesh : meshes_of(world().size())) {
    const Communicators groups = make_communicators(private_world(7), mesh);
    EXPECT_EQ(groups.at, mesh.coordinate(world().rank()));
    for (const Axis axis : all_axes) {
      Communicator& group = groups.along(axis);
      ASSERT_EQ(group.size(), mesh.extent(axis)) << mesh.to_string();
      ASSERT_EQ(group.rank(), groups.at.along(axis));
      double expected = 0;
      for (const int member : mesh.group(world().rank(), axis)) expected += 1 << member;
      ASSERT_EQ(sum_over(group, 1 << world().rank()), expected) << mesh.to_string();
    }
    const bool at_an_end = groups.at.pipe == 0 || groups.at.pipe == mesh.pipe - 1;
    const int ends = mesh.pipe > 1 && at_an_end ? 2 : 1;
    ASSERT_EQ(groups.ends->size(), ends);
    ASSERT_EQ(sum_over(*groups.ends, groups.at.pipe), ends == 2 ? mesh.pipe - 1 : groups.at.pipe);
  }
}

// The same two ranks talk in two groups; each group's messages stay in it, whatever the order.
TEST(Groups, DoNotMix) {
  const auto first = private_world(1);
  const auto second = private_world(2);
  const int to = (world().rank() + 1) % world().size();
  const int from = (world().rank() + world().size() - 1) % world().size();
  auto one = numbers<float>(100003, 1);
  auto two = numbers<float>(100003, 2);
  Event send_one = first->send(tensor_of(one), to);
  Event send_two = second->send(tensor_of(two), to);
  std::vector<float> got_one(one.size()), got_two(two.size());
  Event second_arrival = second->receive(tensor_of(got_two), from);
  Event first_arrival = first->receive(tensor_of(got_one), from);
  second_arrival.wait();
  first_arrival.wait();
  EXPECT_EQ(got_one, one);
  EXPECT_EQ(got_two, two);
  send_one.wait();
  send_two.wait();
}

TEST(Groups, RefuseWhatTheyCannotBe) {
  EXPECT_THROW(make_communicators(private_world(1), Mesh{world().size() + 1, 1, 1, 1}), Error);
  EXPECT_THROW(make_mpi_group(world(), {}, 1), Error);
  EXPECT_THROW(make_mpi_group(SelfCommunicator(), {0}, 1), Error);
  const Communicators alone = make_communicators(std::make_unique<SelfCommunicator>(), Mesh{});
  EXPECT_EQ(alone.ends->size(), 1);
}

TEST(SentBytes, AreTheClosedForm) {
  using enum Operation;
  const auto group = private_world(3);
  const int ranks = group->size();
  std::vector<double> values(1000);
  const std::int64_t bytes = 8000;
  const int to = (group->rank() + 1) % ranks;
  const int from = (group->rank() + ranks - 1) % ranks;
  SentBytes expected;
  const auto grows_by = [&](Operation kind, std::int64_t more) {
    expected[kind] += more;
    EXPECT_EQ(group->sent_bytes(), expected);
  };
  group->all_reduce(tensor_of(values), Reduction::sum).wait();
  grows_by(all_reduce, 2 * (ranks - 1) * bytes / ranks);
  group->broadcast(tensor_of(values), 0).wait();
  grows_by(broadcast, ranks > 1 && group->rank() == 0 ? bytes : 0);
  std::vector<double> other(values.size());
  Event sending = group->send(tensor_of(values), to);
  grows_by(send, bytes);
  group->receive(tensor_of(other), from).wait();
  sending.wait();
  const Tensor matrix = tensor_of(values).reshape({100, 10});
  const std::int64_t own = share(100, ranks, group->rank()).count * 80;
  group->reduce_scatter(matrix).wait();
  grows_by(reduce_scatter, bytes - own);
  group->all_gather(matrix).wait();
  grows_by(all_gather, (ranks - 1) * own);
  std::vector<bfloat16> halves(1001);
  const std::int64_t own_halves = share(1001, ranks, group->rank()).count * 2;
  group->all_reduce(Tensor(halves.data(), {1001}, DType::bf16, Device::cpu), Reduction::sum).wait();
  grows_by(all_reduce, 2002 - own_halves + (ranks - 1) * own_halves);
  group->all_gather("control");
  group->barrier();
  EXPECT_EQ(group->sent_bytes(), expected);
}

TEST(Refusals, NameTheValues) {
  std::vector<float> values(12);
  const Tensor matrix = tensor_of(values).reshape({3, 4});
  EXPECT_THROW(world().all_reduce(matrix.slice(1, 0, 2), Reduction::sum).wait(), Error);
  EXPECT_THROW(world().send(matrix, world().size()).wait(), Error);
  EXPECT_THROW(world().receive(matrix, -1).wait(), Error);
  EXPECT_THROW(SelfCommunicator().send(matrix, 0).wait(), Error);
  EXPECT_THROW(SelfCommunicator().receive(matrix, 0).wait(), Error);
  // A message of another size than its receiver asks for.
  for (const std::int64_t size : {3, 12}) {
    std::vector<float> sent(7), received(static_cast<std::size_t>(size));
    Event send = world().send(tensor_of(sent), world().rank());
    EXPECT_THROW(world().receive(tensor_of(received), world().rank()).wait(), Error) << size;
    send.wait();
  }
}

TEST(MessagePieces, TileMessagesOfAnySize) {
  const std::int64_t gib = std::int64_t{1} << 30;
  EXPECT_TRUE(message_pieces({0, 0}, 8).empty());
  for (const std::int64_t element : {1, 4, 8}) {
    for (const std::int64_t size : {std::int64_t{1}, gib / element, gib / element + 1, 5 * gib}) {
      std::int64_t end = 0;
      for (const Part& piece : message_pieces({0, size}, element)) {
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
