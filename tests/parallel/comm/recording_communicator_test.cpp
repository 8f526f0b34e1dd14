// When the record of an operation ends: once, when its request is known to have ended.
#include "parallel/comm/recording_communicator.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

// How often a pending operation must be asked until it has ended, and whether waiting for it fails.
struct Fate {
  int questions = 1;
  bool fails = false;
};

class SlowRequest final : public PendingRequest {
 public:
  explicit SlowRequest(const Fate& fate) : left_(fate.questions), fails_(fate.fails) {}
  void wait() override {
    if (fails_) fail("the link broke");
    left_ = 0;
  }
  bool done() override { return left_ == 0 || --left_ == 0; }

 private:
  int left_;
  bool fails_;
};

// A group of one rank whose operations end as `fate` says.
class SlowCommunicator final : public Communicator {
 public:
  explicit SlowCommunicator(const Fate& fate) : fate_(fate) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  Request all_reduce(Tensor, Reduction) override { return slow(); }
  Request reduce_scatter(Tensor) override { return slow(); }
  Request all_gather(Tensor) override { return slow(); }
  Request broadcast(Tensor, int) override { return slow(); }
  Request send(Tensor, int) override { return slow(); }
  Request receive(Tensor, int) override { return slow(); }
  std::vector<std::string> all_gather(const std::string& text) override { return {text}; }
  void barrier() override {}
  GroupTraits traits() const override { return {}; }
  SentBytes sent_bytes() const override { return {}; }
  std::int64_t working_memory() const override { return 0; }

 private:
  Request slow() const { return Request(std::make_unique<SlowRequest>(fate_)); }

  Fate fate_;
};

class RecordedRequestTest : public testing::Test {
 protected:
  Request start(const Fate& fate = {}) {
    group_ = with_recorder(std::make_unique<SlowCommunicator>(fate), "tensor", recorder_);
    return group_->send(Tensor(), 0);
  }
  std::int64_t end() const { return read_recording(recorder_.path()).records.at(0).end; }

  static void pass_time() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

  TemporaryDirectory directory_;
  Recorder recorder_{directory_ / "ring", {}};
  std::unique_ptr<Communicator> group_;
};

TEST_F(RecordedRequestTest, EndsWhenItIsFirstFoundDone) {
  Request request = start({.questions = 2});
  EXPECT_FALSE(request.done());
  EXPECT_EQ(end(), Record::running);
  EXPECT_TRUE(request.done());
  const std::int64_t ended = end();
  EXPECT_NE(ended, Record::running);
  pass_time();
  EXPECT_TRUE(request.done());
  request.wait();
  EXPECT_EQ(end(), ended);
}

TEST_F(RecordedRequestTest, EndsWhenItWasWaitedFor) {
  Request request = start();
  EXPECT_EQ(end(), Record::running);
  request.wait();
  const std::int64_t ended = end();
  EXPECT_NE(ended, Record::running);
  pass_time();
  EXPECT_TRUE(request.done());
  EXPECT_EQ(end(), ended);
}

// Its destructor waits.
TEST_F(RecordedRequestTest, EndsWhenNobodyWaitedForIt) {
  { const Request request = start(); }
  EXPECT_NE(end(), Record::running);
}

TEST_F(RecordedRequestTest, DoesNotEndIfItFailsOrIsAbandoned) {
  EXPECT_THROW(start({.fails = true}).wait(), Error);
  EXPECT_EQ(end(), Record::running);
  try {
    const Request abandoned = start();
    fail("something else");
  } catch (const Error&) {
  }
  for (const Record& record : read_recording(recorder_.path()).records) {
    EXPECT_EQ(record.end, Record::running);
  }
}

}  // namespace
}  // namespace masformer::test
