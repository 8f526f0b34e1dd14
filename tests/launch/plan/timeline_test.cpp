// Pictures of timelines: their bars, on one scale.
#include "launch/plan/timeline.h"

#include <regex>

#include <gtest/gtest.h>

namespace masformer::test {
namespace {

constexpr Action forward{ActionKind::forward, 7, 0}, later{ActionKind::backward, 1, 1};

// The widths of the bars, in the order of the document.
std::vector<double> widths_of(const std::string& svg) {
  const std::regex bar("class=\"tl-bar\" x=\"[0-9.]+\" y=\"[0-9.]+\" width=\"([0-9.]+)\"");
  std::vector<double> widths;
  for (std::sregex_iterator found(svg.begin(), svg.end(), bar), end; found != end; ++found) {
    widths.push_back(std::stod((*found)[1]));
  }
  return widths;
}

TEST(Timeline, DrawsSeveralOnOneScale) {
  const std::string svg =
      draw_timelines({{.title = "first", .stages = 1, .bars = {{0, 0, 1, forward}}},
                      {.title = "second", .stages = 2, .bars = {{1, 0, 4, later}}, .step_end = 8}});
  const std::vector<double> widths = widths_of(svg);
  ASSERT_EQ(widths.size(), 2U);
  EXPECT_NEAR(widths[1], 4 * widths[0], 0.02);
  EXPECT_NEAR(widths[1], 1080.0 / 2, 0.02) << "the end of the step is the longest";
  for (const char* const part :
       {">first</text>", ">second</text>", ">stage 1</text>", "forward of micro-batch 7",
        ">backward, later chunks</text>", "the step ends: 8 s",
        "class=\"tl-row\" x=\"78\" y=\"44\" width=\"1080.00\""}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
}

TEST(Timeline, EscapesTitlesAndDrawsNothing) {
  const std::string svg = draw_timelines({{.title = "<script>&", .stages = 1}});
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_NE(svg.find("&lt;script&gt;&amp;"), std::string::npos);
  EXPECT_TRUE(widths_of(svg).empty());
  EXPECT_TRUE(draw_timelines({}).ends_with("</svg>\n"));
}

}  // namespace
}  // namespace masformer::test
