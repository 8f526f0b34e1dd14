// NCCL fails or hangs on one rank of a job: ranks that wait for it throw within seconds, and no
// destructor waits afterwards. Runs with several ranks on the fakes.
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
constexpr int broken = 1;  // the rank that fails
const test::Way nccl{"nccl", Device::cuda, Transport::nccl};

// While an object exists, the next connection or launch of the broken rank fails.
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
  // This rank's groups, and memory that is freed before they are closed, as in masformer.
  struct Job {
    ProcessGroups groups;
    Cargo<float> x{nccl, std::vector<float>(1000)}, y{nccl, std::vector<float>(1000)};
    AbortOnFailure abort_on_failure{test::stream()};
  };

  void TearDown() override {
    world().barrier();
    constexpr std::chrono::seconds seconds(20);  // many ranks share the cores with other tests
    EXPECT_LT(Clock::now() - begin_, seconds);
  }

  // Calls `act` with a job of this mesh. Returns the message of the Error that it throws, whose
  // unwinding destroys the job; "" if it throws none.
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

std::string message_of(const std::string& group, const std::string& what) {
  return fmt::format("rank {} of the {} group: NCCL's {} (NCCL_DEBUG=INFO says more)",
                     world().rank(), group, what);
}

const std::string remote_error =
    "failed: remote process exited or there was a network error; this is a fake";

TEST_F(NcclFailure, ReportsAnOperationWhereverARankWaits) {
  using Wait = void(Request&, Communicator&, Cargo<float>&);
  Wait* const reading = [](Request& request, Communicator&, Cargo<float>& x) {
    request.wait();
    x.values();
  };
  Wait* const polling = [](Request& request, Communicator&, Cargo<float>&) {
    while (!request.done()) continue;
  };
  Wait* const starting_more = [](Request&, Communicator& group, Cargo<float>& x) {
    for (;;) group.all_reduce(x, Reduction::sum).wait();
  };
  for (Wait* const wait : {reading, polling, starting_more}) {
    const std::string message = failure({.data = world().size()}, [&](Job& job) {
      const Fault fault("fail launch");
      Communicator& data = *job.groups.replicas;
      Request request = data.all_reduce(job.x, Reduction::sum);
      // The other ranks notice it only by their timeout.
      (world().rank() == broken ? wait : reading)(request, data, job.x);
    });
    EXPECT_EQ(message, message_of("data", world().rank() == broken
                                              ? "all_reduce " + remote_error
                                              : "all_reduce did not end in 1 s: a rank has stopped "
                                                "or the network is down"));
  }
}

// One rank is late for every operation. Together they take longer than the timeout, but each one
// alone does not.
TEST_F(NcclFailure, IgnoresOperationsThatAreSlowTogether) {
  const std::chrono::milliseconds late(800);
  const std::string message = failure(
      {.data = world().size()},
      [&](Job& job) {
        for (Communicator* const group : {job.groups.world.get(), job.groups.replicas.get()}) {
          for (int time = 0; time < 2; ++time) {
            if (world().rank() == broken) std::this_thread::sleep_for(late);
            group->all_reduce(job.x, Reduction::sum).wait();
            // The fake runs only work that this process waits for.
            if (world().rank() == broken) job.x.values();
          }
        }
        job.x.values();
      },
      std::chrono::seconds(2));
  EXPECT_EQ(message, "");
}

TEST_F(NcclFailure, ReportsAMessageOnItsTwoRanksOnly) {
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
    EXPECT_EQ(message, message_of("pipeline", "send" + stuck));
  } else if (rank == (broken + 1) % ranks) {
    EXPECT_EQ(message, message_of("pipeline", "receive" + stuck));
  } else {
    EXPECT_EQ(message, "");
  }
}

TEST_F(NcclFailure, ReportsAConnectionOnAllRanks) {
  for (const std::string how : {"hang", "fail"}) {
    const Fault fault(how + " connect");
    const std::string message = failure({.tensor = world().size()}, [](Job&) {});
    const bool is_told = how == "fail" && world().rank() == broken;
    EXPECT_EQ(message, message_of("tensor", is_told ? "connection " + remote_error
                                                    : "connection did not get ready in 1 s"));
  }
}

TEST_F(NcclFailure, FreesTheMemoryOfOperationsIfARankThrows) {
  const std::string message = failure({.data = world().size()}, [&](Job& job) {
    if (world().rank() == broken) fail("no more disk");
    Request request = job.groups.replicas->all_reduce(job.x, Reduction::sum);
    fail("no more disk either");
  });
  EXPECT_EQ(message, world().rank() == broken ? "no more disk" : "no more disk either");
}

TEST_F(NcclFailure, EndsOperationsOfSeveralGroupsTogether) {
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    const int last = (world().rank() + world().size() - 1) % world().size();
    const Request never = job.groups.pipe->receive(job.y, last);  // no rank sends
    const Fault fault("hang launch");
    Request request = job.groups.world->all_reduce(job.x, Reduction::sum);
    while (!request.done()) continue;
  });
  EXPECT_EQ(message, message_of("pipeline",
                                "receive did not end in 1 s: a rank has stopped or the "
                                "network is down"));
}

// The compute stream waits for another connection's operation, which the host does not wait for.
TEST_F(NcclFailure, ReportsAMessageWhenLaterWorkIsWaitedFor) {
  const int last = (world().rank() + world().size() - 1) % world().size();
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    job.groups.pipe->receive(job.y, last).wait();  // no rank sends
    Request request = job.groups.world->all_reduce(job.x, Reduction::sum);
    while (!request.done()) continue;
  });
  EXPECT_EQ(message, message_of("pipeline",
                                "receive did not end in 1 s: a rank has stopped or the network is "
                                "down"));
}

// The pipeline's connections were made before the world's.
TEST_F(NcclFailure, AbortsALaunchThatWaitsForAnotherGroup) {
  const int next = (world().rank() + 1) % world().size();
  const std::string message = failure({.pipe = world().size()}, [&](Job& job) {
    if (world().rank() != broken) return;
    const Request never =
        job.groups.world->all_reduce(job.x, Reduction::sum);  // no other rank calls
    const Fault fault("stall launch");
    job.groups.pipe->send(job.y, next).wait();
  });
  EXPECT_EQ(message, world().rank() == broken
                         ? message_of("pipeline", "send did not get ready in 1 s")
                         : "");
}

TEST_F(NcclFailure, AbortsAllGroupsOfARank) {
  Job job{test::make_groups(nccl, {.pipe = world().size()}, timeout)};
  const Fault fault("hang launch");
  Request request = job.groups.world->all_reduce(job.x, Reduction::sum);
  EXPECT_THROW(while (!request.done()) continue, Error);
  const int next = (world().rank() + 1) % world().size();
  EXPECT_THROW(job.groups.pipe->send(job.y, next).wait(), Error);
}

}  // namespace
}  // namespace masformer
