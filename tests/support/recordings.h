// Recordings made by hand, for tests of what reads them.
#pragma once

#include <algorithm>
#include <string>

#include "parallel/pipeline/schedule.h"
#include "parallel/recorder.h"

namespace masformer::test {

class HandMadeRecording {
 public:
  explicit HandMadeRecording(const RecordedRank& rank, std::int64_t clock_offset = 0)
      : recording_{rank, clock_offset, {""}, {}} {}

  // Times in nanoseconds of the rank's own clock. `end`: -1 if it has not ended.
  void add_action(std::int64_t step, const Action& action, std::int64_t begin, std::int64_t end) {
    add(step, begin, end,
        {.micro_batch = action.micro_batch,
         .chunk = action.chunk,
         .name = name(std::string(name_of(action.kind)))});
  }
  void add_message(std::int64_t step, const std::string& operation, std::int64_t begin,
                   std::int64_t end, std::int64_t bytes = 8) {
    add(step, begin, end,
        {.bytes = bytes,
         .of_group = ++messages_,
         .name = name(operation),
         .group = name("pipeline")});
  }

  const Recording& get() const { return recording_; }

 private:
  void add(std::int64_t step, std::int64_t begin, std::int64_t end, const RecordFields& fields) {
    recording_.records.push_back({recording_.records.size() + 1, begin, end, step, fields});
  }
  RecordName name(const std::string& text) {
    const auto found = std::ranges::find(recording_.names, text);
    const auto index = found - recording_.names.begin();
    if (found == recording_.names.end()) recording_.names.push_back(text);
    return static_cast<RecordName>(index);
  }

  Recording recording_;
  std::uint64_t messages_ = 0;
};

}  // namespace masformer::test
