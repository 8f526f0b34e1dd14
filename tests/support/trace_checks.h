// What must hold for every trace of recordings.
#pragma once

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "parallel/recorder.h"

namespace masformer::test {

inline std::int64_t nanoseconds_of(const nlohmann::json& microseconds) {
  return std::llround(1000 * microseconds.get<double>());
}

// Complete events of a track begin in order, and none begins before the one before has ended.
inline void expect_nested(const nlohmann::json& trace) {
  std::map<std::pair<int, int>, std::int64_t> ends;  // by process and thread
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    std::int64_t& end = ends[{event.at("pid"), event.at("tid")}];
    const std::int64_t begin = nanoseconds_of(event.at("ts"));
    EXPECT_GE(begin, end) << event;
    end = begin + nanoseconds_of(event.at("dur"));
  }
}

// Each rank's actions and communications of each step take as long together as in its recording.
inline void expect_sums(const nlohmann::json& trace, const std::vector<Recording>& recordings) {
  using Key = std::tuple<std::int32_t, std::int64_t, bool>;  // rank, step, communications
  std::map<Key, std::int64_t> expected, found;
  for (const Recording& recording : recordings) {
    for (const Record& record : recording.records) {
      if (record.end < record.begin) continue;
      expected[{recording.rank.rank, record.step, record.fields.group != no_name}] +=
          record.end - record.begin;
    }
  }
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    found[{event.at("pid"), event.at("args").at("step"), event.at("cat") == "communication"}] +=
        nanoseconds_of(event.at("dur"));
  }
  EXPECT_EQ(found, expected);
}

}  // namespace masformer::test
