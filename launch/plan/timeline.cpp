#include "launch/plan/timeline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "launch/plan/markup.h"

namespace masformer {
namespace {

// Pixels.
constexpr double left = 78, title_height = 44, width = 1080, right = 22;
constexpr double row_height = 30, row_gap = 6, axis_height = 34, legend_height = 28;
constexpr double digit_width = 7;

struct Colour {
  ActionKind kind;
  std::array<std::string_view, 2> fill;  // of the first chunk, and of the others
};

// Okabe and Ito's, which people of all kinds of colour vision tell apart; lighter for later chunks.
constexpr std::array colours{
    Colour{ActionKind::forward, {"#0072b2", "#8cc0de"}},
    Colour{ActionKind::backward, {"#d55e00", "#f0b48a"}},
    Colour{ActionKind::backward_input, {"#00805e", "#86cdb9"}},
    Colour{ActionKind::backward_weight, {"#a8507f", "#dfb3cb"}},
};

// Classes instead of colours, so that the drawing fits the page that it is in.
constexpr std::string_view style =
    "<style>.tl-paper{fill:#fff}.tl-row{fill:#ececec}.tl-text{fill:#222}.tl-line{stroke:#777}"
    ".tl-bar{stroke:#fff;stroke-width:.5}"
    "@media(prefers-color-scheme:dark){.tl-paper{fill:#16181c}.tl-row{fill:#2b2e34}"
    ".tl-text{fill:#e4e4e4}.tl-line{stroke:#999}.tl-bar{stroke:#16181c}}</style>\n";

std::string_view fill_of(const Action& action) {
  return std::ranges::find(colours, action.kind, &Colour::kind)->fill[action.chunk > 0 ? 1 : 0];
}

// A round step that gives about eight marks.
double tick_step(double seconds) {
  const double rough = seconds / 8, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

struct Unit {
  double seconds;
  std::string_view name;
};

Unit unit_of(double seconds) {
  if (seconds < 1e-3) return {1e-6, "µs"};
  if (seconds < 1) return {1e-3, "ms"};
  return {1, "s"};
}

class Drawing {
 public:
  explicit Drawing(const std::vector<Timeline>& timelines) : timelines_(timelines) {
    for (const Timeline& timeline : timelines) {
      seconds_ = std::max(seconds_, timeline.step_end);
      for (const TimelineBar& bar : timeline.bars) seconds_ = std::max(seconds_, bar.end);
      bottom_ += height_of(timeline);
    }
    if (seconds_ <= 0) seconds_ = 1;
  }

  std::string draw() && {
    const double height = bottom_ + axis_height + legend_height;
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n{2}"
        "<rect class=\"tl-paper\" width=\"100%\" height=\"100%\"/>\n",
        left + width + right, height, style);
    for (const Timeline& timeline : timelines_) {
      add(timeline);
      top_ += height_of(timeline);
    }
    add_axis();
    add_legend();
    return text_ + "</svg>\n";
  }

 private:
  static double height_of(const Timeline& timeline) {
    return title_height + timeline.stages * (row_height + row_gap);
  }
  double row(int stage) const { return top_ + title_height + stage * (row_height + row_gap); }
  double x(double seconds) const { return left + width * seconds / seconds_; }

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    text_ += fmt::format(format, std::forward<Args>(args)...);
  }

  void add(const Timeline& timeline) {
    add("<text class=\"tl-text\" x=\"{}\" y=\"{}\" font-size=\"15\">{}</text>\n", left, top_ + 28,
        escape_markup(timeline.title));
    const double end = timeline.step_end > 0 ? timeline.step_end : seconds_;
    for (int stage = 0; stage < timeline.stages; ++stage) add_row(stage, end);
    for (const TimelineBar& bar : timeline.bars) add_bar(bar);
    if (timeline.step_end <= 0) return;
    add("<line class=\"tl-line\" stroke-dasharray=\"4 3\" x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"{1}\" "
        "y2=\"{2}\"><title>the step ends: {3:.6g} s</title></line>\n",
        x(timeline.step_end), row(0) - 4, row(timeline.stages) - 2, timeline.step_end);
  }

  void add_row(int stage, double end) {
    add("<text class=\"tl-text\" x=\"{}\" y=\"{}\" text-anchor=\"end\">stage {}</text>\n", left - 8,
        row(stage) + row_height / 2 + 4, stage);
    add("<rect class=\"tl-row\" x=\"{}\" y=\"{}\" width=\"{:.2f}\" height=\"{}\"/>\n", left,
        row(stage), x(end) - left, row_height);
  }

  void add_bar(const TimelineBar& bar) {
    const double begin = x(bar.begin), extent = x(bar.end) - begin;
    add("<g><title>{}: {:.6g} s to {:.6g} s</title>"
        "<rect class=\"tl-bar\" x=\"{:.2f}\" y=\"{}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\"/>",
        to_string(bar.action), bar.begin, bar.end, begin, row(bar.stage), extent, row_height,
        fill_of(bar.action));
    const std::string number = std::to_string(bar.action.micro_batch);
    if (extent > digit_width * static_cast<double>(number.size()) + 3) {
      add("<text x=\"{:.2f}\" y=\"{}\" text-anchor=\"middle\" fill=\"{}\">{}</text>",
          begin + extent / 2, row(bar.stage) + row_height / 2 + 4,
          bar.action.chunk > 0 ? "black" : "white", number);
    }
    text_ += "</g>\n";
  }

  void add_axis() {
    const Unit unit = unit_of(seconds_);
    const double step = tick_step(seconds_), y = bottom_;
    for (double at = 0; at <= seconds_ * (1 + 1e-9); at += step) {
      add("<line class=\"tl-line\" x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"{1}\" y2=\"{2}\"/>"
          "<text class=\"tl-text\" x=\"{0:.2f}\" y=\"{3}\" text-anchor=\"middle\">{4:.4g}</text>\n",
          x(at), y, y + 5, y + 18, at / unit.seconds);
    }
    add("<text class=\"tl-text\" x=\"{}\" y=\"{}\" text-anchor=\"end\">time, {}</text>\n",
        left - 12, y + 18, unit.name);
  }

  void add_legend() {
    std::set<std::pair<ActionKind, bool>> shown;
    for (const Timeline& timeline : timelines_) {
      for (const TimelineBar& bar : timeline.bars) {
        shown.insert({bar.action.kind, bar.action.chunk > 0});
      }
    }
    double at = left;
    const double y = bottom_ + axis_height;
    for (const auto& [kind, later] : shown) {
      const std::string label = fmt::format("{}{}", name_of(kind), later ? ", later chunks" : "");
      add("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/>"
          "<text class=\"tl-text\" x=\"{}\" y=\"{}\">{}</text>\n",
          at, y, fill_of({kind, 0, later ? 1 : 0}), at + 17, y + 10, label);
      at += 34 + digit_width * static_cast<double>(label.size());
    }
  }

  const std::vector<Timeline>& timelines_;
  double seconds_ = 0;
  double top_ = 0, bottom_ = 0;  // of the timeline that is being drawn, and of the last one
  std::string text_;
};

}  // namespace

std::string draw_timelines(const std::vector<Timeline>& timelines) {
  return Drawing(timelines).draw();
}

}  // namespace masformer
