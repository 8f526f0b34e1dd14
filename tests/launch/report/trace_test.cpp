// The trace of recordings: its form, its sums, and that events of a track nest.
#include "launch/report/trace.h"

#include <map>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/recordings.h"
#include "tests/support/trace_checks.h"

namespace masformer::test {
namespace {

using Json = nlohmann::json;

Json trace_of(const std::vector<Recording>& recordings) {
  std::ostringstream text;
  write_trace(recordings, text);
  return Json::parse(text.str());
}

constexpr Action forward{ActionKind::forward, 3, 1}, backward{ActionKind::backward, 3, 1};

std::vector<Recording> two_ranks() {
  HandMadeRecording first({.rank = 0, .ranks = 2}, 100),
      second({.rank = 1, .ranks = 2, .pipe = 1}, 0);
  first.add_action(7, forward, 1'000, 2'234'567);
  first.add_message(7, "send \"a\"", 1'500, 9'001);
  first.add_message(7, "receive", 2'000, 9'000);  // overlaps the one before
  first.add_message(7, "send", 9'500, 9'900);
  second.add_action(7, backward, 1'050, 1'051);
  second.add_message(7, "receive", 2'000, Record::running);
  return {first.get(), second.get()};
}

TEST(Trace, HasTheTimesOfTheRecordingsToTheNanosecond) {
  const Json trace = trace_of(two_ranks());
  const Json& events = trace.at("traceEvents");
  std::vector<Json> shown;
  for (const Json& event : events) {
    if (event.at("ph") != "M") shown.push_back(event);
  }
  ASSERT_EQ(shown.size(), 6U);
  EXPECT_EQ(shown[0], (Json{{"ph", "X"},
                            {"name", "forward 3, chunk 1"},
                            {"cat", "action"},
                            {"pid", 0},
                            {"tid", 1},
                            {"ts", 0.05},
                            {"dur", 2233.567},
                            {"args", {{"step", 7}, {"micro_batch", 3}, {"chunk", 1}}}}));
  EXPECT_EQ(shown[1].at("name"), "send \"a\", pipeline");
  EXPECT_EQ(shown[4].at("ts"), 0.0) << "the first record of any rank";
  EXPECT_EQ(shown[5].at("ph"), "B") << "it has not ended";
  EXPECT_FALSE(shown[5].contains("dur"));
}

TEST(Trace, SpreadsOverlappingCommunicationsOverTracks) {
  const std::vector<Recording> ranks = two_ranks();
  const Json trace = trace_of(ranks);
  expect_nested(trace);
  expect_sums(trace, ranks);
  std::map<std::pair<int, int>, std::string> names;
  for (const Json& event : trace.at("traceEvents")) {
    if (event.at("name") != "thread_name") continue;
    names[{event.at("pid"), event.at("tid")}] = event.at("args").at("name");
  }
  EXPECT_EQ(names, (std::map<std::pair<int, int>, std::string>{{{0, 1}, "actions"},
                                                               {{0, 3}, "communications"},
                                                               {{0, 4}, "communications"},
                                                               {{1, 1}, "actions"},
                                                               {{1, 3}, "communications"}}));
}

// A host issues a step while its device runs the one before.
TEST(Trace, ShowsActionsAsIssuedOnATrackOfTheirOwn) {
  HandMadeRecording rank({});
  rank.add_action(1, forward, 1'000, 3'000);
  rank.add_action(2, forward, 2'000, 2'500);
  std::vector<Recording> ranks{rank.get()};
  ranks[0].records[1].fields.issued = true;
  const Json trace = trace_of(ranks);
  expect_nested(trace);
  expect_sums(trace, ranks);
  EXPECT_EQ(trace.at("traceEvents").back().at("tid"), 2);
}

TEST(Trace, OfNothingIsEmpty) {
  EXPECT_EQ(trace_of({}).at("traceEvents"), Json::array());
}

}  // namespace
}  // namespace masformer::test
