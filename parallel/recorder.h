// The flight recorder of a rank: its last actions and communications, each with its begin and end,
// in a ring of fixed size.
//
// The ring is a file that is mapped into memory, on this host. So a record costs a few stores and
// no system call, and it can be read while the rank hangs and after it was killed. A record without
// an end is what the rank was doing.
//
// The file explains itself: it holds the names of what it records, so its readers need to know no
// action and no operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

// Where a rank is in its job: its number and its coordinate in the mesh.
struct RecordedRank {
  std::int32_t rank = 0, ranks = 1;
  std::int32_t pipe = 0, data = 0, context = 0, tensor = 0;

  bool operator==(const RecordedRank&) const = default;
};

// The index of a name in the file; no_name for none.
using RecordName = std::uint8_t;
inline constexpr RecordName no_name = 0;

// What a record tells besides its times. -1 and 0: does not apply.
struct RecordFields {
  std::int64_t bytes = 0;                      // of a communication's tensor
  std::uint64_t of_group = 0;                  // its number among those of its group, from 1
  std::int32_t micro_batch = -1, chunk = -1;   // of an action
  std::int32_t peer = -1;                      // of a message; the root of a broadcast
  RecordName name = no_name, group = no_name;  // "forward", "all_reduce"; "tensor", "pipeline"
  bool issued = false;  // an action on a device: its times are those of the host that issues it

  bool operator==(const RecordFields&) const = default;
};

// One place of the ring, as it is in the file. Times are in nanoseconds of the steady clock, which
// all processes of a host share.
//
// A host issues work to a device, and ends the record, before the device has run it. When the
// step's results are read, the records of its actions get the times at which the device ran them.
// If the rank fails or is killed before, they stay `issued`. Communications keep the host's times,
// so what NCCL does may last longer than its record.
struct Record {
  static constexpr std::int64_t running = -1;

  std::uint64_t number = 0;  // of the rank's records, from 1; 0: nothing was recorded here
  std::int64_t begin = 0, end = running;
  std::int64_t step = 0;  // of training; 0 outside of it
  RecordFields fields;

  bool operator==(const Record&) const = default;
};

class Recorder {
 public:
  // Some steps of a deep pipeline, in 258 KiB.
  static constexpr int default_capacity = 4096;

  // Creates the file, or replaces it, with all of its disk space. Throws Error if that fails.
  Recorder(std::filesystem::path path, const RecordedRank& rank, int capacity = default_capacity);
  ~Recorder();  // leaves the file
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // The index of a name of up to 31 characters, which is added if it is new. Throws Error if it is
  // too long, or the 64th.
  RecordName name(std::string_view text);

  // What readers add to the times of all records: at first, what makes them those of this system's
  // clock.
  std::int64_t clock_offset() const;
  void set_clock_offset(std::int64_t nanoseconds);
  // The clock of the records: nanoseconds of the steady clock.
  static std::int64_t now();

  // The step to which records belong from now on.
  void set_step(std::int64_t step) { step_ = step; }

  // Adds a record that begins now, in place of the oldest. Returns its number, for end().
  std::uint64_t begin(const RecordFields& fields);
  // Ends a record now. Does nothing if the ring has replaced it.
  void end(std::uint64_t number);
  // Replaces the times of a record that was `issued` and has ended, once. Does nothing if the ring
  // has replaced it.
  void set_device_times(std::uint64_t number, std::int64_t begin, std::int64_t end);

 private:
  Record& place(std::uint64_t number) const { return records_[(number - 1) % capacity_]; }

  std::filesystem::path path_;
  std::uint64_t capacity_;
  std::size_t bytes_;
  void* memory_;
  Record* records_;
  std::int64_t step_ = 0;
  std::uint64_t last_ = 0;
};

// Records the time from its construction to its destruction. Without a recorder it does nothing.
class RecordedScope {
 public:
  RecordedScope(Recorder* recorder, const RecordFields& fields)
      : recorder_(recorder), number_(recorder == nullptr ? 0 : recorder->begin(fields)) {}
  ~RecordedScope() {
    if (recorder_ != nullptr) recorder_->end(number_);
  }
  RecordedScope(const RecordedScope&) = delete;
  RecordedScope& operator=(const RecordedScope&) = delete;

  std::uint64_t number() const { return number_; }  // of the record; 0 without a recorder

 private:
  Recorder* recorder_;
  std::uint64_t number_;
};

struct Recording {
  RecordedRank rank;
  std::int64_t clock_offset = 0;   // what to add to times: Recorder::clock_offset()
  std::vector<std::string> names;  // by RecordName
  std::vector<Record> records;     // those of the ring, in the order of their numbers
};

// Reads a recorder's file, or a copy, also while the rank writes to it: a record that changes
// meanwhile is left out. Throws Error that names the file if it is not a recording.
Recording read_recording(const std::filesystem::path& path);

}  // namespace masformer
