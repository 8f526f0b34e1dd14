// Every test runs at any number of ranks, one a stage. CMake registers this file twice: with MPI as
// it is, and without eager messages, so that nothing leaves before its receiver asks.
#include "parallel/executor.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "parallel/mpi_communicator.h"
#include "runtime/error.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using test::world;
using Buffer = std::vector<float>;

constexpr std::int64_t small_size = 80;  // elements; OpenMPI never holds back up to 256 bytes
constexpr std::int64_t mebibyte = 1 << 18;

// Part p computes y = 2 x + p + 1, so that all numbers are whole and known beforehand.
float model_input(int micro_batch, std::size_t i) {
  return static_cast<float>(3 * micro_batch + static_cast<int>(i % 17));
}
float part_input(int part, int micro_batch, std::size_t i) {
  const int scale = 1 << part;
  return static_cast<float>(scale) * model_input(micro_batch, i) +
         static_cast<float>(2 * scale - part - 2);
}
// dL/dx of a part is twice that of the next one.
float part_output_gradient(int parts_after, int micro_batch, std::size_t i) {
  return static_cast<float>((micro_batch + 1 + static_cast<int>(i % 13)) << parts_after);
}

// Holds one buffer of each kind a micro-batch, but a single gradient for each chunk, in which the
// input gradient takes the place of the output gradient: the least that the contract allows.
class ToyStage : public PipelineStage {
 public:
  ToyStage(const Schedule& schedule, int stage, std::int64_t size)
      : schedule_(schedule),
        stage_(stage),
        size_(size),
        inputs_(buffers(schedule.chunks * schedule.micro_batches)),
        outputs_(inputs_),
        gradients_(buffers(schedule.chunks)) {}

  Tensor input(const Action& action) override { return view(inputs_[slot(action)]); }
  Tensor output(const Action& action) override { return view(outputs_[slot(action)]); }
  Tensor input_gradient(const Action& action) override { return view(gradient(action)); }
  Tensor output_gradient(const Action& action) override { return view(gradient(action)); }

  void run(const Action& action) override {
    done_.push_back(action);
    if (delay_.count() > 0) std::this_thread::sleep_for(delay_);
    if (before_run_) before_run_(action);
    if (action.kind == ActionKind::forward) return forward(action);
    if (action.kind != ActionKind::backward_weight) backward(action);
  }

  const std::vector<Action>& done() const { return done_; }
  int mistakes() const { return mistakes_; }
  void set_delay(std::chrono::microseconds delay) { delay_ = delay; }
  void set_before_run(std::function<void(const Action&)> call) { before_run_ = std::move(call); }

 private:
  std::vector<Buffer> buffers(int count) const {
    return {static_cast<std::size_t>(count), Buffer(static_cast<std::size_t>(size_))};
  }
  std::size_t slot(const Action& action) const {
    const int place = action.chunk * schedule_.micro_batches + action.micro_batch;
    return static_cast<std::size_t>(place);
  }
  Buffer& gradient(const Action& a) { return gradients_[static_cast<std::size_t>(a.chunk)]; }
  Tensor view(Buffer& buffer) const {
    return {buffer.data(), {2, size_ / 2}, DType::f32, Device::cpu};
  }
  bool evaluates() const { return is_evaluation(schedule_); }

  void forward(const Action& action) {
    const int part = schedule_.part(stage_, action.chunk);
    Buffer& x = inputs_[slot(action)];
    Buffer& y = outputs_[slot(action)];
    // In evaluation an output is free once its action has ended: all of them are overwritten.
    for (Buffer& other : outputs_) {
      if (evaluates()) std::fill(other.begin(), other.end(), -1.0F);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (part == 0) x[i] = model_input(action.micro_batch, i);
      mistakes_ += x[i] != part_input(part, action.micro_batch, i);
      y[i] = 2 * x[i] + static_cast<float>(part + 1);
    }
  }

  void backward(const Action& action) {
    const int parts_after = schedule_.parts() - 1 - schedule_.part(stage_, action.chunk);
    Buffer& dy = gradient(action);
    Buffer& y = outputs_[slot(action)];
    for (std::size_t i = 0; i < dy.size(); ++i) {
      const float expected = part_output_gradient(parts_after, action.micro_batch, i);
      if (parts_after == 0) dy[i] = expected;
      mistakes_ += dy[i] != expected;
      dy[i] *= 2;
      y[i] = -1;  // a micro-batch's output is free from its backward on
    }
  }

  const Schedule& schedule_;
  int stage_;
  std::int64_t size_;
  std::vector<Buffer> inputs_, outputs_;  // [chunk, micro-batch]
  std::vector<Buffer> gradients_;         // [chunk]
  std::vector<Action> done_;
  int mistakes_ = 0;
  std::chrono::microseconds delay_{0};
  std::function<void(const Action&)> before_run_;
};

void expect_right(const Schedule& schedule, std::int64_t size,
                  std::chrono::microseconds delay = {}) {
  validate(schedule);
  ToyStage stage(schedule, world().rank(), size);
  stage.set_delay(delay);
  const StepTiming timing = execute(schedule, world(), stage);
  EXPECT_EQ(stage.mistakes(), 0) << "a part got wrong numbers, or a buffer was reused too early";
  EXPECT_EQ(stage.done(), schedule.actions[static_cast<std::size_t>(world().rank())]);
  EXPECT_GE(timing.waiting_seconds, 0);
  EXPECT_LE(timing.waiting_seconds, timing.total_seconds);
}

TEST(Executor, MovesTheRightNumbersUnderEverySchedule) {
  for (const auto make : {gpipe, one_forward_one_backward, forward_only}) {
    for (int micro_batches = 1; micro_batches <= 7; ++micro_batches) {
      const Schedule schedule = make(world().size(), micro_batches);
      for (const std::int64_t size : {std::int64_t{0}, small_size, mebibyte}) {
        expect_right(schedule, size);
      }
    }
  }
}

// Where neighbours are late, messages stay with their senders, whose buffers must wait for them.
TEST(Executor, LeavesBuffersAloneUntilTheyAreSent) {
  for (const auto make : {gpipe, one_forward_one_backward, forward_only}) {
    for (const int late : {0, 1}) {
      const bool is_late = world().rank() % 2 == late;
      expect_right(make(world().size(), 5), mebibyte,
                   std::chrono::microseconds(is_late ? 3000 : 0));
    }
  }
}

// Each micro-batch through all chunks at once, backwards split in two.
Schedule two_chunks(int stages, int micro_batches) {
  Schedule schedule = forward_only(stages, micro_batches);
  schedule.chunks = 2;
  for (auto& actions : schedule.actions) {
    actions.clear();
    for (int i = 0; i < micro_batches; ++i) {
      for (const int chunk : {0, 1}) actions.push_back({ActionKind::forward, i, chunk});
    }
    for (int i = 0; i < micro_batches; ++i) {
      for (const int chunk : {1, 0}) actions.push_back({ActionKind::backward_input, i, chunk});
    }
    for (int i = 0; i < micro_batches; ++i) {
      for (const int chunk : {0, 1}) actions.push_back({ActionKind::backward_weight, i, chunk});
    }
  }
  return schedule;
}

TEST(Executor, RunsSeveralChunksAndSplitBackwards) {
  for (const std::int64_t size : {small_size, mebibyte}) {
    for (int micro_batches = 1; micro_batches <= 5; ++micro_batches) {
      expect_right(two_chunks(world().size(), micro_batches), size);
    }
  }
}

bool is_valid(const Schedule& schedule) {
  try {
    validate(schedule);
  } catch (const Error&) {
    return false;
  }
  return true;
}

// What validate() accepts must not hang, however odd: schedules shuffled by swaps of neighbours.
TEST(Executor, RunsWhateverIsValid) {
  std::mt19937 random(7);  // the same on all ranks
  const auto below = [&](std::size_t end) { return random() % end; };
  int ran = 0;
  for (int trial = 0; trial < 12; ++trial) {
    const bool wide = trial % 2 == 0;
    Schedule schedule = wide ? two_chunks(world().size(), 3) : gpipe(world().size(), 5);
    for (int swap = 0; swap < 60; ++swap) {
      Schedule next = schedule;
      auto& actions = next.actions[below(next.actions.size())];
      const std::size_t at = below(actions.size() - 1);
      std::swap(actions[at], actions[at + 1]);
      if (is_valid(next)) schedule = next;
    }
    ran += schedule.actions !=
           (wide ? two_chunks(world().size(), 3).actions : gpipe(world().size(), 5).actions);
    expect_right(schedule, trial % 4 < 2 ? small_size : mebibyte / 16);
  }
  EXPECT_GE(ran, 6) << "most shuffled schedules are no others";
}

TEST(Executor, CountsTheTimeSpentWaiting) {
  if (world().size() == 1) GTEST_SKIP() << "nobody to wait for";
  const Schedule schedule = gpipe(world().size(), 1);
  ToyStage stage(schedule, world().rank(), small_size);
  if (world().rank() == 1) stage.set_delay(std::chrono::milliseconds(100));
  world().barrier();
  const StepTiming timing = execute(schedule, world(), stage);
  if (world().rank() == 1) {
    EXPECT_GE(timing.total_seconds - timing.waiting_seconds, 0.2) << "its own work is no waiting";
  } else {
    EXPECT_GE(timing.waiting_seconds, 0.05);
  }
}

// A failure passes at once: its messages under way are let go, though nobody ever takes them.
TEST(Executor, AFailingStageDoesNotWaitForItsMessages) {
  std::vector<int> all(static_cast<std::size_t>(world().size()));
  std::iota(all.begin(), all.end(), 0);
  const auto pipe = make_mpi_group(world(), all, 1);  // it keeps the messages that nobody takes
  const Schedule schedule = gpipe(world().size(), 2);
  ToyStage stage(schedule, world().rank(), mebibyte);
  stage.set_before_run([](const Action& action) {
    if (action.micro_batch == 1) throw std::runtime_error("out of luck");
  });
  if (world().rank() == 0) {
    EXPECT_THROW(execute(schedule, *pipe, stage), std::runtime_error);
  }
  world().barrier();
}

// The second registration proves nothing about hangs unless this holds.
TEST(Transport, KeepsMessagesUntilTheirReceiverAsks) {
  if (std::getenv("MASFORMER_TEST_RENDEZVOUS") == nullptr || world().size() == 1) {
    GTEST_SKIP() << "small messages may leave early";
  }
  Buffer buffer(static_cast<std::size_t>(small_size));
  const Tensor message(buffer.data(), {small_size}, DType::f32, Device::cpu);
  if (world().rank() == 0) {
    Event send = world().send(message, 1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    while (std::chrono::steady_clock::now() < deadline) ASSERT_FALSE(send.done());
    world().barrier();
    send.wait();
  } else {
    world().barrier();
    if (world().rank() == 1) world().receive(message, 0).wait();
  }
}

TEST(Executor, RefusesAScheduleOfOtherStages) {
  const Schedule schedule = gpipe(world().size() + 1, 1);
  ToyStage stage(schedule, world().rank(), small_size);
  EXPECT_THROW(execute(schedule, world(), stage), Error);
}

}  // namespace
}  // namespace masformer
