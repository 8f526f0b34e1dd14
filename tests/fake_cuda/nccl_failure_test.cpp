// A job in which one rank's NCCL fails or hangs: ranks that wait for it throw within seconds, and
// nothing that is destroyed afterwards waits. Run by several ranks on the fakes.
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/transports.h"

namespace masformer {
namespace {

using test::Cargo;
using test::world;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds timeout(1);
constexpr int broken = 1;  // a rank
const test::Way nccl{"nccl", Device::cuda, Transport::nccl};

// While it exists, the broken rank's next connection or launch goes wrong.
class Fault {
 public:
  explicit Fault(const std::string& what) {
    setenv("MASFORMER_FAKE_NCCL_FAULT", fmt::format("{} {} 0", what, broken).c_str(), 1);
  }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  ~Fault() { unsetenv("MASFORMER_FAKE_NCCL_FAULT"); }
};

class NcclFailure : public testing::Test {
 protected:
  // This rank's groups, and memory that is freed before they are closed, as in the program.
  struct Job {
    ProcessGroups groups;
    Cargo<float> x{nccl, std::vector<float>(1000)}, y{nccl, std::vector<float>(1000)};
    AbortOnFailure give_up{test::stream()};
  };

  void TearDown() override {
    world().barrier();
    constexpr std::chrono::seconds seconds(20);  // many ranks share the cores with other tests
    EXPECT_LT(Clock::now() - begin_, seconds);
  }

  // The message of what `act` throws on a job of this mesh; its job is destroyed by the unwinding.
  template <class Act>
  std::string failure(const Mesh& mesh, const Act& act, std::chrono::seconds wait = timeout) {
    try {
      Job job{test::make_groups(nccl, mesh, wait)};
      act(job);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  Clock::time_point begin_ = Clock::now();
};

std::string own_words(const std::string& group, const std::string& what) {
  return fmt::format("rank {} of the {} group: NCCL's {} (NCCL_DEBUG=INFO says more)",
                     world().rank(), group, what);
}

const std::string remote_error =
    "failed: remote process exited or there was a network error; this is a fake";

TEST_F(NcclFailure, OfAnOperationIsReportedWhereverARankWaits) {
  using Wait = void(Request&, Communicator&, Cargo<float>&);
  Wait* const reading = [](Request& event, Communicator&, Cargo<float>& x) {
    event.wait();
    x.values();
  };
  Wait* const asking = [](Request& event, Communicator&, Cargo<float>&) {
    while (!event.done()) continue;
  };
  Wait* const starting_more = [](Request&, Communicator& group, Cargo<float>& x) {
    for (;;) group.all_reduce(x, Reduction::sum).wait();
  };
  for (Wait* const wait : {reading, asking, starting_more}) {
    const std::string message = failure({.data = world().size()}, [&](Job& job) {
      const Fault fault("fail launch");
      Communicator& data = *job.groups.data;
      Request event = data.all_reduce(job.x, Reduction::sum);
      // The others notice only by their timeout.
      (world().rank() == broken ? wait : reading)(event, data, job.x);
    });
    EXPECT_EQ(message, own_words("data", world().rank() == broken
                                             ? "all_reduce " + remote_error
                                             : "all_reduce did not end in 1 s: a rank has stopped "
                                               "or the network is down"));
  }
}

// A rank that is late every time makes the host wait longer than any single operation takes.
TEST_F(NcclFailure, IsNotReportedForSlowOperations) {
  const std::chrono::milliseconds late(800);
  const std::string message = failure(
      {.data = world().size()},
      [&](Job& job) {
        for (Communicator* const group : {job.groups.world.get(), job.groups.data.get()}) {
          for (int time = 0; time < 2; ++time) {
            if (world().rank() == broken) std::this_thread::sleep_for(late);
            group->all_reduce(job.x, Reduction::sum).wait();
            // The fake runs only work that its own process waits for.
            if (world().rank() == broken) job.x.values();
          }
        }
        job.x.values();
      },
      std::chrono::seconds(2));
  EXPECT_EQ(message, "");
}

TEST_F(NcclFailure, OfAMessageIsReportedByItsTwoRanks) {
  const int rank = world().rank(), ranks = world().size();
  const std::string message = failure({.pipe = ranks}, [&](Job& job) {
    const Fault fault("hang launch");
    Request send = job.groups.pipe->send(job.x, (rank + 1) % ranks);
    job.groups.pipe->receive(job.y, (rank + ranks - 1) % ranks).wait();
    send.wait();
    job.y.values();
  });
  const std::string stuck = " did not end in 1 s: a rank has stopped or the network is down";
  if (rank == broken) {
    EXPECT_EQ(message, own_words("pipeline", "send" + stuck));
  } else if (rank == (broken + 1) % ranks) {
    EXPECT_EQ(message, own_words("pipeline", "receive" + stuck));
  } else {
    EXPECT_EQ(message, "");
  }
}

TEST_F(NcclFailure, OfAConnectionIsReportedByAllRanks) {
  for (const std::string how : {"hang", "fail"}) {
    const Fault fault(how + " connect");
    const std::string message = failure({.tensor = world().size()}, [](Job&) {});
    const bool hears = how == "fail" && world().rank() == broken;
    EXPECT_EQ(message, own_words("tensor", hears ? "connection " + remote_error
                                                 : "connection did not get ready in 1 s"));
  }
}

TEST_F(NcclFailure, OfOneRankFreesTheMemoryOfItsOperations) {
  const std::string message = failure({.data = world().size()}, [&](Job& job) {
    if (world().rank() == broken) fail("no more disk");
    Request event = job.groups.data->all_reduce(job.x, Reduction::sum);
    fail("no more disk either");
  });
  EXPECT_EQ(message, world().rank() == broken ? "no more disk" : "no more disk either");
}

TEST_F(NcclFailure, EndsOperationsOfSeveralGroupsTogether) {
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    const int last = (world().rank() + world().size() - 1) % world().size();
    const Request never = job.groups.pipe->receive(job.y, last);  // no rank sends
    const Fault fault("hang launch");
    Request event = job.groups.world->all_reduce(job.x, Reduction::sum);
    while (!event.done()) continue;
  });
  EXPECT_EQ(message, own_words("pipeline",
                               "receive did not end in 1 s: a rank has stopped or the "
                               "network is down"));
}

// The compute stream waits for another connection's operation, which the host does not wait for.
TEST_F(NcclFailure, OfAMessageIsReportedByWorkAfterIt) {
  const int last = (world().rank() + world().size() - 1) % world().size();
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    job.groups.pipe->receive(job.y, last).wait();  // no rank sends
    Request event = job.groups.world->all_reduce(job.x, Reduction::sum);
    while (!event.done()) continue;
  });
  EXPECT_EQ(message, own_words("pipeline",
                               "receive did not end in 1 s: a rank has stopped or the network is "
                               "down"));
}

// The pipeline's connections are older than the world's.
TEST_F(NcclFailure, EndsALaunchThatWaitsForAnotherGroupsOperation) {
  const int next = (world().rank() + 1) % world().size();
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    if (world().rank() != broken) return;
    const Request never =
        job.groups.world->all_reduce(job.x, Reduction::sum);  // no other rank calls
    const Fault fault("stall launch");
    job.groups.pipe->send(job.y, next).wait();
  });
  EXPECT_EQ(message,
            world().rank() == broken ? own_words("pipeline", "send did not get ready in 1 s") : "");
}

TEST_F(NcclFailure, EndsAllGroupsOfARank) {
  Job job{test::make_groups(nccl, {.pipe = world().size()}, timeout)};
  const Fault fault("hang launch");
  Request event = job.groups.world->all_reduce(job.x, Reduction::sum);
  EXPECT_THROW(while (!event.done()) continue, Error);
  const int next = (world().rank() + 1) % world().size();
  EXPECT_THROW(job.groups.pipe->send(job.y, next).wait(), Error);
}

}  // namespace
}  // namespace masformer
