// masformer report
#include <filesystem>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/options/option_table.h"
#include "launch/output/standard_streams.h"
#include "launch/plan/timeline.h"
#include "launch/report/measured_step.h"
#include "launch/report/page.h"
#include "launch/report/run_files.h"
#include "launch/report/trace.h"
#include "runtime/io/replace_file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<std::string> folders;
  std::string output;
  bool timeline = false;
};

OptionTable describe(ReportOptions& options) {
  OptionTable table;
  table.add_positional("RUN_DIR", options.folders,
                       {.help = "Folder of a run (run.dir). Several are shown beside each other."});
  table.add("output", options.output,
            {.value = "FILE",
             .help = "Where to write the page, or the timeline. The trace is then beside the page, "
                     "as FILE with the ending .trace.json. Default: report.html, or timeline.svg, "
                     "in the first RUN_DIR."});
  table.add_flag("timeline", options.timeline,
                 "Only draw the predicted step and a measured one, one above the other, as SVG.");
  return table;
}

void write(const fs::path& path, const std::string& text) {
  io::replace_text(path, text);
  print_result("{}\n", path.string());
}

void write_timeline(const std::vector<RunFiles>& runs, const fs::path& path) {
  const std::vector<Timeline> timelines = timelines_of(runs);
  if (timelines.empty()) {
    refuse("{} has neither a predicted step (plan.json) nor recordings of a whole one",
           runs.front().name);
  }
  write(path, draw_timelines(timelines));
}

}  // namespace

ExitCode report_command(const Arguments& arguments) {
  ReportOptions options;
  OptionTable table = describe(options);
  if (asks_for_help(arguments)) {
    print_result(
        "{}\n\nWrites RUN_DIR/report.html, a page that needs no network, and RUN_DIR/trace.json, "
        "which ui.perfetto.dev and chrome://tracing open.\n\n{}",
        usage_of("report"), table.help());
    return ExitCode::done;
  }
  table.parse(arguments);
  if (options.folders.empty()) refuse("report needs the folder of a run: its run.dir");
  const std::vector<RunFiles> runs = read_runs(options.folders);
  const fs::path first = options.folders.front();
  const auto output = [&](const char* name) {
    return options.output.empty() ? first / name : fs::path(options.output);
  };
  if (options.timeline) {
    write_timeline(runs, output("timeline.svg"));
    return ExitCode::done;
  }
  write(output("report.html"), report_page(runs));
  fs::path trace = first / "trace.json";
  if (!options.output.empty()) trace = fs::path(options.output).replace_extension(".trace.json");
  io::replace_file(trace,
                   [&](const fs::path& written) { write_trace(runs.front().recordings, written); });
  print_result("{}\n", trace.string());
  return ExitCode::done;
}

}  // namespace masformer
