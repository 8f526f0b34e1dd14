#include "launch/plan/timeline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include <fmt/format.h>

namespace masformer {
namespace {

// Pixels.
constexpr double left = 78, top = 44, width = 1080, right = 22;
constexpr double row_height = 30, row_gap = 6, axis_height = 34, legend_height = 28;
constexpr double digit_width = 7;

struct Colour {
  ActionKind kind;
  std::array<std::string_view, 2> fill;  // of the first chunk, and of the others
};

constexpr std::array colours{
    Colour{ActionKind::forward, {"#4878b0", "#9dbbdc"}},
    Colour{ActionKind::backward, {"#4a9464", "#a5d0b3"}},
    Colour{ActionKind::backward_input, {"#2f8f8a", "#93cfcb"}},
    Colour{ActionKind::backward_weight, {"#c08a2e", "#e6c78c"}},
};

std::string_view fill_of(const Action& action) {
  return std::ranges::find(colours, action.kind, &Colour::kind)->fill[action.chunk > 0 ? 1 : 0];
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else {
      result += c;
    }
  }
  return result;
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
  Drawing(int stages, double seconds) : stages_(stages), seconds_(seconds) {}

  std::string draw(const std::string& title, const std::vector<TimelineBar>& bars) && {
    const double height = bottom() + axis_height + legend_height;
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        "<text x=\"{2}\" y=\"24\" font-size=\"15\">{3}</text>\n",
        left + width + right, height, left, escaped(title));
    for (int stage = 0; stage < stages_; ++stage) add_row(stage);
    for (const TimelineBar& bar : bars) add_bar(bar);
    add_axis();
    add_legend(bars);
    return text_ + "</svg>\n";
  }

 private:
  double row(int stage) const { return top + stage * (row_height + row_gap); }
  double bottom() const { return row(stages_); }
  double x(double seconds) const { return left + width * seconds / seconds_; }

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    text_ += fmt::format(format, std::forward<Args>(args)...);
  }

  void add_row(int stage) {
    add("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">stage {}</text>\n", left - 8,
        row(stage) + row_height / 2 + 4, stage);
    add("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#f0f0f0\"/>\n", left, row(stage),
        width, row_height);
  }

  void add_bar(const TimelineBar& bar) {
    const double begin = x(bar.begin), extent = x(bar.end) - begin;
    add("<g><title>{}: {:.6g} s to {:.6g} s</title>"
        "<rect x=\"{:.2f}\" y=\"{}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\" stroke=\"white\" "
        "stroke-width=\"0.5\"/>",
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
    const double step = tick_step(seconds_), y = bottom();
    for (double at = 0; at <= seconds_ * (1 + 1e-9); at += step) {
      add("<line x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#888\"/>"
          "<text x=\"{0:.2f}\" y=\"{3}\" text-anchor=\"middle\">{4:.4g}</text>\n",
          x(at), y, y + 5, y + 18, at / unit.seconds);
    }
    add("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", left - 8, y + 18, unit.name);
  }

  void add_legend(const std::vector<TimelineBar>& bars) {
    std::set<std::pair<ActionKind, bool>> shown;
    for (const TimelineBar& bar : bars) shown.insert({bar.action.kind, bar.action.chunk > 0});
    double at = left;
    const double y = bottom() + axis_height;
    for (const auto& [kind, later] : shown) {
      const std::string label = fmt::format("{}{}", name_of(kind), later ? ", later chunk" : "");
      add("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/>"
          "<text x=\"{}\" y=\"{}\">{}</text>\n",
          at, y, fill_of({kind, 0, later ? 1 : 0}), at + 17, y + 10, label);
      at += 34 + digit_width * static_cast<double>(label.size());
    }
  }

  int stages_;
  double seconds_;
  std::string text_;
};

}  // namespace

std::string draw_timeline(const std::string& title, int stages,
                          const std::vector<TimelineBar>& bars) {
  double seconds = 0;
  for (const TimelineBar& bar : bars) seconds = std::max(seconds, bar.end);
  if (seconds <= 0) seconds = 1;
  return Drawing(stages, seconds).draw(title, bars);
}

}  // namespace masformer
