// Every test runs with any number of ranks, one per stage. CMake registers this file three times:
// with MPI as it is; with MPI without eager messages, so that no message leaves before its receiver
// asks; and on the fake of CUDA, whose NCCL sends no sooner either.
#include "parallel/pipeline/executor.h"

#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "parallel/comm/staged/communicator.h"
#include "parallel/pipeline/execution_plan.h"
#include "runtime/error.h"
#include "tests/support/schedules.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/transports.h"

namespace masformer {
namespace {

using test::Way;
using test::world;
using Buffer = test::Cargo<float>;

constexpr std::int64_t small_size =
    80;  // elements; OpenMPI sends up to 256 bytes at once in any case

// The number of elements in a message that is too large for its transport to buffer. For MPI that
// is 128 KiB. The fake of NCCL buffers nothing; staged messages travel by MPI.
std::int64_t large(const Way& way) {
  return way.device == Device::cpu ? 1 << 15 : 1 << 14;
}

// Part p computes y = 2 x + p + 1, so all numbers are integers and known in advance.
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

// Has as few buffers as the contract allows: an input and an output per micro-batch, but one
// gradient per chunk, in which the input gradient overwrites the output gradient.
class ToyStage : public PipelineStage {
 public:
  ToyStage(const Way& way, const Schedule& schedule, int stage, std::int64_t size)
      : schedule_(schedule),
        stage_(stage),
        inputs_(buffers(way, schedule.chunks() * schedule.micro_batches, size)),
        outputs_(buffers(way, schedule.chunks() * schedule.micro_batches, size)),
        gradients_(buffers(way, schedule.chunks(), size)),
        handed_over_(buffers(way, schedule.chunks() * schedule.micro_batches, size)) {}

  Tensor input(const Action& action) override { return inputs_[slot(action)]; }
  Tensor output(const Action& action) override { return outputs_[slot(action)]; }
  Tensor input_gradient(const Action& action) override { return gradient(action); }
  Tensor output_gradient(const Action& action) override { return output_gradient_of(action); }

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
  static std::vector<Buffer> buffers(const Way& way, int count, std::int64_t size) {
    std::vector<Buffer> all;
    const std::vector<float> zeros(static_cast<std::size_t>(size));
    for (int i = 0; i < count; ++i) all.emplace_back(way, zeros, Shape{2, size / 2});
    return all;
  }
  std::size_t slot(const Action& action) const {
    const int place = action.chunk * schedule_.micro_batches + action.micro_batch;
    return static_cast<std::size_t>(place);
  }
  Buffer& gradient(const Action& a) { return gradients_[static_cast<std::size_t>(a.chunk)]; }
  // A gradient that this stage hands over to itself arrives before the chunk's last gradient is
  // sent, so it needs a buffer of its own.
  Buffer& output_gradient_of(const Action& action) {
    return takes_over_from(schedule_, stage_, action) ? handed_over_[slot(action)]
                                                      : gradient(action);
  }
  bool evaluates() const { return is_evaluation(schedule_); }

  void forward(const Action& action) {
    const int part = schedule_.placement.part(stage_, action.chunk);
    std::vector<float>& x = inputs_[slot(action)].values();
    std::vector<float>& y = outputs_[slot(action)].values();
    // In evaluation an output's buffer is free when its action ends. Overwrite all of them.
    for (Buffer& other : outputs_) {
      if (evaluates()) fill(other, -1);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (part == 0) x[i] = model_input(action.micro_batch, i);
      mistakes_ += x[i] != part_input(part, action.micro_batch, i);
      y[i] = 2 * x[i] + static_cast<float>(part + 1);
    }
    outputs_[slot(action)].put();
  }

  void backward(const Action& action) {
    const Placement& placement = schedule_.placement;
    const int parts_after = placement.parts() - 1 - placement.part(stage_, action.chunk);
    std::vector<float> dy = output_gradient_of(action).values();
    for (std::size_t i = 0; i < dy.size(); ++i) {
      const float expected = part_output_gradient(parts_after, action.micro_batch, i);
      if (parts_after == 0) dy[i] = expected;
      mistakes_ += dy[i] != expected;
      dy[i] *= 2;
    }
    gradient(action).values() = dy;
    gradient(action).put();
    fill(outputs_[slot(action)], -1);  // free from this backward on
  }

  static void fill(Buffer& buffer, float value) {
    for (float& each : buffer.values()) each = value;
    buffer.put();
  }

  const Schedule& schedule_;
  int stage_;
  std::vector<Buffer> inputs_, outputs_;  // [chunk, micro-batch]
  std::vector<Buffer> gradients_;         // [chunk]
  std::vector<Buffer> handed_over_;       // [chunk, micro-batch], output gradients
  std::vector<Action> done_;
  int mistakes_ = 0;
  std::chrono::microseconds delay_{0};
  std::function<void(const Action&)> before_run_;
};

class Executor : public test::OnEachWay {
 protected:
  // Fewer on the fake of CUDA, which is slow.
  static std::vector<int> numbers_of_micro_batches() {
    if (GetParam().device == Device::cpu) return {1, 2, 3, 4, 5, 6, 7};
    return {1, 5};
  }
  static const Stream& stream() { return test::stream_of(GetParam()); }
  void expect_right(const Schedule& schedule, std::int64_t size,
                    std::chrono::microseconds delay = {});
};
INSTANTIATE_TEST_SUITE_P(, Executor, testing::ValuesIn(test::ways()), test::name_of_way);

void Executor::expect_right(const Schedule& schedule, std::int64_t size,
                            std::chrono::microseconds delay) {
  validate(schedule);
  ToyStage stage(GetParam(), schedule, world().rank(), size);
  stage.set_delay(delay);
  const StepTiming timing = execute(stream(), schedule, pipe(), stage);
  EXPECT_EQ(stage.mistakes(), 0) << "a part got wrong numbers, or a buffer was reused too early";
  EXPECT_EQ(stage.done(), schedule.actions[static_cast<std::size_t>(world().rank())]);
  EXPECT_GE(timing.waiting_seconds(), 0);
  EXPECT_LE(timing.waiting_seconds(), timing.total_seconds());
}

TEST_P(Executor, SendsTheRightNumbersUnderEverySchedule) {
  for (const int micro_batches : numbers_of_micro_batches()) {
    for (const Schedule& schedule : test::all_schedules(world().size(), micro_batches, 3)) {
      for (const std::int64_t size : {std::int64_t{0}, small_size, large(GetParam())}) {
        expect_right(schedule, size);
      }
    }
  }
}

// If a neighbour is late, a message stays in its sender's buffer.
TEST_P(Executor, DoesNotReuseABufferBeforeItIsSent) {
  for (const Schedule& schedule : test::all_schedules(world().size(), 5, 2)) {
    for (const int late : {0, 1}) {
      const bool is_late = world().rank() % 2 == late;
      expect_right(schedule, large(GetParam()), std::chrono::microseconds(is_late ? 3000 : 0));
    }
  }
}

TEST_P(Executor, RunsSeveralChunksAndSplitBackwards) {
  for (const Placement& placement : test::chunked_placements(world().size())) {
    for (const int micro_batches : {1, 4, 5}) {
      const std::int64_t size = micro_batches == 4 ? large(GetParam()) : small_size;
      expect_right(test::split_backwards(placement, micro_batches), size);
      expect_right(test::all_forwards_first(placement, micro_batches), size);
      expect_right(forward_only(placement, micro_batches), size);
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

// Shuffles schedules by swapping neighbouring actions. Whatever validate() accepts must not hang.
TEST_P(Executor, RunsEveryShuffledScheduleThatIsValid) {
  std::mt19937 random(7);  // the same on all ranks
  const auto below = [&](std::size_t end) { return random() % end; };
  const int trials = GetParam().device == Device::cpu ? 12 : 4;
  int ran = 0;
  for (int trial = 0; trial < trials; ++trial) {
    const auto placements = test::chunked_placements(world().size());
    const Schedule original = trial % 2 == 0
                                  ? test::split_backwards(placements[below(placements.size())], 3)
                                  : gpipe(world().size(), 5);
    Schedule schedule = original;
    for (int swap = 0; swap < 60; ++swap) {
      Schedule next = schedule;
      auto& actions = next.actions[below(next.actions.size())];
      const std::size_t at = below(actions.size() - 1);
      std::swap(actions[at], actions[at + 1]);
      if (is_valid(next)) schedule = next;
    }
    ran += schedule.actions != original.actions;
    expect_right(schedule, trial % 4 < 2 ? small_size : large(GetParam()) / 16);
  }
  EXPECT_GE(ran, trials / 2) << "most shuffled schedules equal the original";
}

// Only staged messages need memory of their own.
TEST_P(Executor, HoldsAsManyMessagesAsPlanned) {
  if (world().size() == 1) GTEST_SKIP() << "needs another rank";
  const std::int64_t message = staged_message_memory(small_size * 4);
  std::vector<Schedule> schedules = test::all_schedules(world().size(), 5);
  schedules.push_back(test::split_backwards(Placement::round_robin(world().size(), 2), 3));
  schedules.push_back(test::all_forwards_first(Placement::v_shape(world().size()), 3));
  for (const Schedule& schedule : schedules) {
    const ProcessGroups groups = test::make_groups(GetParam(), {.pipe = world().size()});
    ToyStage stage(GetParam(), schedule, world().rank(), small_size);
    execute(stream(), schedule, *groups.pipe, stage);
    EXPECT_EQ(groups.pipe->working_memory(),
              groups.staged() ? max_messages(schedule, world().rank()) * message : 0);
  }
}

TEST_P(Executor, MeasuresTheTimeSpentWaiting) {
  if (world().size() == 1) GTEST_SKIP() << "needs another rank";
  const bool on_host = GetParam().device == Device::cpu;
  if (!on_host && !GetParam().nccl()) {
    GTEST_SKIP() << "the host waits here, and the fake of CUDA runs no stream meanwhile";
  }
  const Schedule schedule = gpipe(world().size(), 1);
  ToyStage stage(GetParam(), schedule, world().rank(), small_size);
  if (world().rank() == 1) stage.set_delay(std::chrono::milliseconds(100));
  world().barrier();
  const StepTiming timing = execute(stream(), schedule, pipe(), stage);
  if (world().rank() == 1 && on_host) {
    EXPECT_GE(timing.total_seconds() - timing.waiting_seconds(), 0.2)
        << "own work must not count as waiting";
  } else if (world().rank() != 1) {
    EXPECT_GE(timing.waiting_seconds(), 0.05);
  }
}

// Issues work to its stream, and does not wait for it.
class IssuingStage : public PipelineStage {
 public:
  explicit IssuingStage(const Way& way)
      : stream_(test::stream_of(way)), work_(way, std::vector<float>(1 << 20)) {
    for (int i = 0; i < 4; ++i) messages_.emplace_back(way, std::vector<float>(small_size));
  }
  Tensor input(const Action&) override { return messages_[0]; }
  Tensor output(const Action&) override { return messages_[1]; }
  Tensor input_gradient(const Action&) override { return messages_[2]; }
  Tensor output_gradient(const Action&) override { return messages_[3]; }

  void run(const Action& action) override {
    DeviceEvent begin(stream_);
    for (int i = 0; i < 4; ++i) fill_zero(stream_, work_);
    done_.push_back({action, std::move(begin), DeviceEvent(stream_)});
  }

  struct Done {
    Action action;
    DeviceEvent begin, end;
  };
  const std::vector<Done>& done() const { return done_; }

 private:
  const Stream& stream_;
  std::vector<Buffer> messages_;
  Buffer work_;
  std::vector<Done> done_;
};

TEST_P(Executor, RecordsWhenTheDeviceRanActions) {
  const bool on_host = GetParam().device == Device::cpu;
  const Schedule schedule = one_forward_one_backward(world().size(), 3);
  const test::TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {});
  IssuingStage stage(GetParam());
  const std::int64_t start = Recorder::now();
  const StepTiming timing = execute(stream(), schedule, pipe(), stage, &recorder);
  const std::int64_t issued = Recorder::now();
  const std::vector<Record> before = read_recording(recorder.path()).records;
  timing.set_device_times();
  const std::int64_t end = Recorder::now();
  const std::vector<Record> after = read_recording(recorder.path()).records;

  ASSERT_EQ(after.size(), stage.done().size());
  std::int64_t last = start;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const IssuingStage::Done& done = stage.done()[i];
    EXPECT_EQ(before[i].fields.issued, !on_host);
    EXPECT_LE(before[i].end, issued);
    EXPECT_FALSE(after[i].fields.issued);
    EXPECT_EQ(after[i].fields.micro_batch, done.action.micro_batch);
    EXPECT_GE(after[i].begin, last) << "action " << i;
    EXPECT_GE(1e-9 * static_cast<double>(after[i].end - after[i].begin),
              done.end.seconds_since(done.begin) - 1e-6);
    last = after[i].end;
    if (on_host) {
      EXPECT_EQ(after[i], before[i]);
    }
  }
  constexpr std::int64_t inexact = 100'000;  // a device's clock is not the host's
  EXPECT_LE(last, end + inexact);
}

// A failure is thrown at once, although no rank ever receives the messages in flight.
TEST_P(Executor, DoesNotWaitForMessagesWhenAStageFails) {
  // Groups of its own, because they keep the messages that no rank receives.
  const ProcessGroups groups = test::make_groups(GetParam(), {.pipe = world().size()});
  const Schedule schedule = gpipe(world().size(), 2);
  ToyStage stage(GetParam(), schedule, world().rank(), large(GetParam()));
  stage.set_before_run([](const Action& action) {
    if (action.micro_batch == 1) throw std::runtime_error("out of luck");
  });
  if (world().rank() == 0) {
    EXPECT_THROW(execute(stream(), schedule, *groups.pipe, stage), std::runtime_error);
  }
  abort_all();
  world().barrier();
}

// A precondition: without it, the tests above prove nothing about deadlocks.
TEST_P(Executor, RunsOnATransportThatDoesNotBuffer) {
  if ((std::getenv("MASFORMER_TEST_RENDEZVOUS") == nullptr && !GetParam().nccl()) ||
      world().size() == 1) {
    GTEST_SKIP() << "small messages may leave early";
  }
  Buffer message(GetParam(), std::vector<float>(static_cast<std::size_t>(small_size)));
  if (world().rank() == 0) {
    Request send = pipe().send(message, 1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    while (std::chrono::steady_clock::now() < deadline) ASSERT_FALSE(send.done());
    world().barrier();
    send.wait();
  } else {
    pipe();  // makes the group, collectively
    world().barrier();
    if (world().rank() == 1) pipe().receive(message, 0).wait();
  }
}

TEST_P(Executor, RefusesAScheduleForAnotherNumberOfStages) {
  const Schedule schedule = gpipe(world().size() + 1, 1);
  ToyStage stage(GetParam(), schedule, world().rank(), small_size);
  EXPECT_THROW(execute(stream(), schedule, pipe(), stage), Error);
}

}  // namespace
}  // namespace masformer
