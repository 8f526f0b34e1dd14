#include "parallel/recorder.h"

#include <csignal>
#include <fstream>
#include <stop_token>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

std::vector<std::uint64_t> numbers_of(const Recording& recording) {
  std::vector<std::uint64_t> numbers;
  for (const Record& record : recording.records) numbers.push_back(record.number);
  return numbers;
}

TEST(Recorder, KeepsTheLastRecordsInOrder) {
  const TemporaryDirectory directory;
  const RecordedRank rank{3, 8, 1, 0, 1, 0};
  Recorder recorder(directory / "ring", rank, 4);
  const RecordName forward = recorder.name("forward"), send = recorder.name("send");
  const RecordName pipeline = recorder.name("pipeline");
  EXPECT_EQ(recorder.name("send"), send);
  recorder.set_step(7);
  for (int i = 0; i < 5; ++i) {
    recorder.end(recorder.begin({.micro_batch = i, .chunk = 1, .name = forward}));
  }
  const RecordFields message{
      .bytes = 96, .of_group = 1, .peer = 2, .name = send, .group = pipeline};
  const std::uint64_t sending = recorder.begin(message);

  const Recording recording = read_recording(recorder.path());
  EXPECT_EQ(recording.rank, rank);
  EXPECT_EQ(numbers_of(recording), (std::vector<std::uint64_t>{3, 4, 5, 6}));
  for (const Record& record : recording.records) {
    EXPECT_EQ(record.step, 7);
    if (record.number == sending) {
      EXPECT_EQ(record.end, Record::running);
      EXPECT_EQ(record.fields, message);
    } else {
      EXPECT_GE(record.end, record.begin);
      EXPECT_EQ(recording.names[record.fields.name], "forward");
      EXPECT_EQ(record.fields.micro_batch, static_cast<int>(record.number) - 1);
    }
  }
  EXPECT_EQ(recording.names[send], "send");
  recorder.end(sending);
  EXPECT_NE(read_recording(recorder.path()).records.back().end, Record::running);
}

TEST(Recorder, DoesNotEndARecordThatWasReplaced) {
  const TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {}, 2);
  const std::uint64_t first = recorder.begin({});
  recorder.begin({});
  recorder.begin({});
  recorder.end(first);
  for (const Record& record : read_recording(recorder.path()).records) {
    EXPECT_EQ(record.end, Record::running) << record.number;
  }
}

// A rank that is killed can't write anything any more.
TEST(Recorder, IsReadAfterItsProcessWasKilled) {
  const TemporaryDirectory directory;
  const pid_t child = fork();
  if (child == 0) {
    Recorder recorder(directory / "ring", {});
    recorder.begin({.micro_batch = 5, .name = recorder.name("backward")});
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const Recording recording = read_recording(directory / "ring");
  ASSERT_EQ(recording.records.size(), 1U);
  EXPECT_EQ(recording.names[recording.records[0].fields.name], "backward");
  EXPECT_EQ(recording.records[0].fields.micro_batch, 5);
  EXPECT_EQ(recording.records[0].end, Record::running);
}

// All fields of a record are made from its number, so a mixture of two would show.
TEST(Recorder, IsReadWhileItIsWritten) {
  const TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {}, 8);
  std::jthread writer([&](const std::stop_token& stop) {
    for (std::int64_t i = 1; !stop.stop_requested(); ++i) {
      recorder.set_step(i);
      const auto small = static_cast<std::int32_t>(i % 1'000'000);
      recorder.end(recorder.begin({.bytes = 2 * i,
                                   .of_group = static_cast<std::uint64_t>(i),
                                   .micro_batch = small,
                                   .chunk = small,
                                   .peer = small}));
    }
  });
  int seen = 0;
  for (int i = 0; i < 2000; ++i) {
    for (const Record& record : read_recording(recorder.path()).records) {
      ++seen;
      const auto number = static_cast<std::int64_t>(record.number);
      const auto small = static_cast<std::int32_t>(number % 1'000'000);
      ASSERT_EQ(record.step, number);
      ASSERT_EQ(record.fields, (RecordFields{.bytes = 2 * number,
                                             .of_group = record.number,
                                             .micro_batch = small,
                                             .chunk = small,
                                             .peer = small}));
    }
  }
  EXPECT_GT(seen, 0);
}

TEST(Recorder, ReplacesTheTimesOfAnIssuedRecord) {
  const TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {}, 2);
  recorder.set_step(7);
  const RecordFields fields{.micro_batch = 3, .chunk = 1, .issued = true};
  const std::uint64_t replaced = recorder.begin(fields), kept = recorder.begin(fields);
  recorder.end(replaced);
  recorder.end(kept);
  const std::uint64_t last = recorder.begin(fields);
  recorder.set_device_times(replaced, 1, 2);
  recorder.set_device_times(kept, 10, 20);
  const std::vector<Record> records = read_recording(recorder.path()).records;
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0], (Record{kept, 10, 20, 7, {.micro_batch = 3, .chunk = 1}}));
  EXPECT_EQ(records[1].number, last);
  EXPECT_EQ(records[1].end, Record::running);
  EXPECT_EQ(records[1].fields, fields);
}

// A record is read with the host's times or with the device's, not with one of each.
TEST(Recorder, IsReadWhileTimesAreReplaced) {
  const TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {}, 64);
  std::jthread writer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const std::uint64_t number = recorder.begin({.issued = true});
      recorder.end(number);
      const auto time = static_cast<std::int64_t>(number);
      recorder.set_device_times(number, -time, -time - 1);
    }
  });
  int issued = 0, replaced = 0;
  for (int i = 0; i < 20'000 && (issued < 10 || replaced < 50'000); ++i) {
    for (const Record& record : read_recording(recorder.path()).records) {
      const auto time = static_cast<std::int64_t>(record.number);
      if (record.fields.issued) {
        ++issued;
        ASSERT_GT(record.begin, 0);
        ASSERT_TRUE(record.end == Record::running || record.end >= record.begin);
      } else {
        ++replaced;
        ASSERT_EQ(record.begin, -time);
        ASSERT_EQ(record.end, -time - 1);
      }
    }
  }
  EXPECT_GE(issued, 10);
  EXPECT_GE(replaced, 50'000);
}

TEST(Recorder, RefusesWhatItCannotHold) {
  const TemporaryDirectory directory;
  Recorder recorder(directory / "ring", {}, 1);
  EXPECT_THROW(recorder.name(std::string(32, 'n')), Error);
  for (int i = 1; i < 64; ++i) recorder.name("name " + std::to_string(i));
  EXPECT_THROW(recorder.name("one more"), Error);
  EXPECT_EQ(recorder.name("name 63"), 63);
  EXPECT_THROW(Recorder(directory / "no folder" / "ring", {}), Error);
}

TEST(ReadRecording, RefusesOtherFiles) {
  const TemporaryDirectory directory;
  { std::ofstream(directory / "short") << "text"; }
  { std::ofstream(directory / "long") << std::string(10000, 'x'); }
  EXPECT_THROW(read_recording(directory / "short"), Error);
  EXPECT_THROW(read_recording(directory / "long"), Error);
  EXPECT_THROW(read_recording(directory / "none"), Error);
}

}  // namespace
}  // namespace masformer::test
