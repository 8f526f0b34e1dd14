// The fake of NCCL refuses what NCCL would answer with wrong results or a hang. One rank is enough.
#include <nccl.h>

#include "tests/fake_cuda/test_support.h"

namespace fake_cuda {
namespace {

ncclResult_t settled(ncclComm_t comm) {
  ncclResult_t state = ncclInProgress;
  while (state == ncclInProgress) EXPECT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
  return state;
}

ncclComm_t begin_alone() {
  ncclUniqueId id;
  EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInProgress);
  return comm;
}

class NcclMisuse : public testing::Test {
 protected:
  ~NcclMisuse() override {
    EXPECT_EQ(settled(comm_), ncclSuccess);
    EXPECT_EQ(ncclCommFinalize(comm_), ncclInProgress);
    EXPECT_EQ(settled(comm_), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(comm_), ncclSuccess);
  }

  ncclResult_t sum(const float* from, float* to, std::size_t count) {
    return ncclAllReduce(from, to, count, ncclFloat32, ncclSum, comm_, stream_);
  }

  ncclComm_t comm_ = begin_alone();
  TestStream stream_;
  DeviceArray<float> x_{10};
};

TEST_F(NcclMisuse, RefusesCallsBeforeTheCommunicatorIsReady) {
  EXPECT_EQ(sum(x_.data(), x_.data(), 10), ncclInvalidArgument);
  EXPECT_EQ(settled(comm_), ncclSuccess);
  EXPECT_NE(sum(x_.data(), x_.data(), 10), ncclInvalidArgument);
}

// The operations of a call reach the stream some time after it.
TEST_F(NcclMisuse, RefusesACallWhileAnotherIsLaunched) {
  int refused = 0, taken = 0;
  for (int time = 0; time < 50; ++time) {
    EXPECT_EQ(settled(comm_), ncclSuccess);
    if (sum(x_.data(), x_.data(), 10) != ncclInProgress) continue;
    ++taken;
    refused += sum(x_.data(), x_.data(), 10) == ncclInvalidArgument;
  }
  EXPECT_GT(taken, 0);
  EXPECT_EQ(refused, taken);
}

TEST_F(NcclMisuse, RefusesOperandsOnTheHostAndOverlaps) {
  EXPECT_EQ(settled(comm_), ncclSuccess);
  float on_host[10] = {};
  EXPECT_DEATH(sum(on_host, x_.data(), 10), "its input is not on the device");
  EXPECT_DEATH(sum(x_.data(), on_host, 10), "its output is not on the device");
  EXPECT_DEATH(sum(x_.data(), x_.data(), 11), "not on the device");
  EXPECT_DEATH(sum(x_.data(), x_.data() + 1, 9), "overlap other than in place");
  EXPECT_NE(sum(x_.data(), x_.data() + 5, 5), ncclInvalidArgument);
}

TEST_F(NcclMisuse, RefusesWrongArguments) {
  EXPECT_EQ(settled(comm_), ncclSuccess);
  float* const x = x_.data();
  EXPECT_EQ(ncclAllReduce(x, x, 10, ncclFloat16, ncclSum, comm_, stream_), ncclInvalidArgument);
  EXPECT_EQ(ncclAllReduce(x, x, 10, ncclFloat32, ncclAvg, comm_, stream_), ncclInvalidArgument);
  EXPECT_EQ(ncclBroadcast(x, x, 10, ncclFloat32, 1, comm_, stream_), ncclInvalidArgument);
  EXPECT_DEATH(ncclSend(x, 10, ncclFloat32, 0, comm_, stream_), "a rank sends a message to itself");
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
}

TEST_F(NcclMisuse, RefusesACommunicatorNotFinalizedOrDestroyed) {
  EXPECT_EQ(settled(comm_), ncclSuccess);
  EXPECT_DEATH(ncclCommDestroy(comm_), "destroyed before it is finalized");
  const ncclComm_t other = begin_alone();
  EXPECT_EQ(ncclCommAbort(other), ncclSuccess);
  ncclResult_t state;
  EXPECT_DEATH(ncclCommGetAsyncError(other, &state), "asked that does not exist");
}

}  // namespace
}  // namespace fake_cuda
