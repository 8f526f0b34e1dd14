// The charts of a report as plain data: what is drawn is what its table holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launch/report/markup.h"
#include "launch/report/run_files.h"
#include "runtime/enum_names.h"

namespace masformer {

// How the numbers of a chart's axis are written.
#define MASFORMER_FIGURE_UNITS(VALUE) \
  VALUE(number, "number") VALUE(bytes, "bytes") VALUE(share, "share")
MASFORMER_NAMED_ENUM(FigureUnit, MASFORMER_FIGURE_UNITS);
#undef MASFORMER_FIGURE_UNITS

struct Series {
  std::string label;
  int colour = 0;                // its number in the page's palette
  int dash = 0;                  // 0: a solid line
  bool has_points = false;       // marks each point, for few of them
  std::vector<double> x{}, y{};  // y may be NaN: a gap
};

// Lines over the steps.
struct LineFigure {
  std::string id, title;
  FigureUnit unit = FigureUnit::number;
  bool can_be_logarithmic = false;
  bool starts_at_zero = false;  // the axis of the numbers, unless it is logarithmic
  std::string note{};
  std::vector<Series> lines{};
};

// Stacked bars.
struct BarFigure {
  std::string id, title;
  FigureUnit unit = FigureUnit::number;
  std::vector<std::string> bars{};  // their labels
  std::vector<Series> parts{};      // y: one number for each bar; x is not used
};

// A step at which a run started again or ended early.
struct StepMark {
  double step = 0;
  std::string label;
};

// At most this many points of a line, and its last one, are drawn and put into tables.
inline constexpr std::size_t max_points = 3000;

// The curves of all runs, those of one quantity in one figure. Figures without any number are left
// out. Of longer lines, one point in n is taken, and the last; a note says so.
std::vector<LineFigure> line_figures(const std::vector<RunFiles>& runs);
// Memory by kind and stage since the run's last start: the plan, what was allocated, and what
// processes took. Without bars if no run tells.
BarFigure memory_figure(const std::vector<RunFiles>& runs);
std::vector<StepMark> step_marks(const std::vector<RunFiles>& runs);

TextTable table_of(const LineFigure& figure);
TextTable table_of(const BarFigure& figure);

// What the page's script draws: an object with `lines`, `bars` and `marks`.
nlohmann::json to_json(const std::vector<LineFigure>& lines, const BarFigure& bars,
                       const std::vector<StepMark>& marks);

}  // namespace masformer
