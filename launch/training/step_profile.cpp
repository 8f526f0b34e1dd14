#include "launch/training/step_profile.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "model/memory/activation_plan.h"

namespace masformer {
namespace {

void add_call(std::vector<ProfileRow>& rows, std::string_view name, const TimedCall& call) {
  auto row = std::ranges::find(rows, name, &ProfileRow::name);
  if (row == rows.end()) {
    rows.push_back({.name = std::string(name)});
    row = rows.end() - 1;
  }
  ++row->calls;
  row->seconds += call.seconds;
  row->flops += call.flops;
  row->seconds_by_pass[call.site.pass] += call.seconds;
}

double sum_of_seconds(const std::vector<ProfileRow>& rows) {
  double sum = 0;
  for (const ProfileRow& row : rows) sum += row.seconds;
  return sum;
}

// A row's last columns: its share of the step, its FLOP/s, and their share of the peak.
class Columns {
 public:
  Columns(double step_seconds, double peak_flops) : step_(step_seconds), peak_(peak_flops) {}

  std::string of(double seconds, double flops) const {
    std::string text = fmt::format("{:>10.3f} {:>6.1f}%", 1e3 * seconds, 100 * seconds / step_);
    if (flops > 0 && seconds > 0) {
      const double rate = flops / seconds;
      text += fmt::format(" {:>10.1f} {:>7.1f}%", rate / 1e9, 100 * rate / peak_);
    }
    return text + "\n";
  }

  static std::string names() {
    return fmt::format("{:>10} {:>7} {:>10} {:>8}\n", "ms", "share", "GFLOP/s", "of peak");
  }

 private:
  double step_, peak_;
};

constexpr std::string_view outside = "outside of layers";

std::string table_of_ops(const StepProfile& profile, const Columns& columns) {
  const auto line = [&](std::string_view name, const std::string& calls, double seconds,
                        double flops) {
    return fmt::format("  {:<28} {:>7} {}", name, calls, columns.of(seconds, flops));
  };
  std::string text = fmt::format("  {:<28} {:>7} {}", "op", "calls", Columns::names());
  for (const ProfileRow& row : profile.ops) {
    text += line(row.name, std::to_string(row.calls), row.seconds, row.flops);
  }
  for (const ProfileRow& row : profile.waits) {
    text += line("wait for " + row.name, std::to_string(row.calls), row.seconds, 0);
  }
  return text + line("other", "", profile.other_seconds(), 0) +
         line("total", "", profile.seconds, 0);
}

std::string table_of_layers(const StepProfile& profile, const Columns& columns) {
  const auto begin_line = [](std::string_view name) { return fmt::format("  {:<28}", name); };
  std::string text = begin_line("layer: ms of ops");
  for (const std::string& pass : names_of<Pass>()) text += fmt::format(" {:>15}", pass);
  text += Columns::names();
  const auto line = [&](std::string_view name, const std::map<std::string, double>& by_pass,
                        double seconds, double flops) {
    std::string cells = begin_line(name);
    for (const std::string& pass : names_of<Pass>()) {
      const auto cell = by_pass.find(pass);
      cells += cell == by_pass.end() ? fmt::format(" {:>15}", "")
                                     : fmt::format(" {:>15.3f}", 1e3 * cell->second);
    }
    return cells + columns.of(seconds, flops);
  };
  for (const ProfileRow& row : profile.layers) {
    text +=
        line(row.name.empty() ? outside : row.name, row.seconds_by_pass, row.seconds, row.flops);
  }
  return text + line("waits for other ranks", {}, profile.wait_seconds(), 0) +
         line("other", {}, profile.other_seconds(), 0) + line("total", {}, profile.seconds, 0);
}

}  // namespace

double StepProfile::wait_seconds() const {
  return sum_of_seconds(waits);
}

double StepProfile::other_seconds() const {
  return seconds - sum_of_seconds(ops) - wait_seconds();
}

StepProfile make_profile(const std::vector<TimedCall>& calls, double seconds) {
  StepProfile profile{.seconds = seconds, .ops = {}, .layers = {}, .waits = {}};
  for (const TimedCall& call : calls) {
    switch (call.kind) {
      case CallKind::op:
        add_call(profile.ops, call.name, call);
        add_call(profile.layers, call.site.layer, call);
        break;
      case CallKind::wait:
        add_call(profile.waits, call.name, call);
        break;
    }
  }
  return profile;
}

nlohmann::json to_json(const StepProfile& profile) {
  const auto rows_json = [](const std::vector<ProfileRow>& rows) {
    nlohmann::json list = nlohmann::json::array();
    for (const ProfileRow& row : rows) {
      list.push_back({{"name", row.name},
                      {"calls", row.calls},
                      {"seconds", row.seconds},
                      {"flops", row.flops},
                      {"seconds_by_pass", row.seconds_by_pass}});
    }
    return list;
  };
  return {{"seconds", profile.seconds},
          {"other_seconds", profile.other_seconds()},
          {"ops", rows_json(profile.ops)},
          {"layers", rows_json(profile.layers)},
          {"waits", rows_json(profile.waits)}};
}

std::string to_string(const StepProfile& profile, double peak_flops) {
  const Columns columns(profile.seconds, peak_flops);
  return table_of_ops(profile, columns) + table_of_layers(profile, columns);
}

}  // namespace masformer
