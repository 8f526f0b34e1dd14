#include "launch/report/profile_tables.h"

#include <fmt/format.h>

#include "launch/report/json_fields.h"
#include "launch/report/units.h"
#include "model/memory/activation_plan.h"

namespace masformer {
namespace {

using Json = nlohmann::json;

std::string milliseconds(double seconds) {
  return fmt::format("{:.3f}", 1e3 * seconds);
}

std::string share_of(double seconds, const Json& stage) {
  const double total = number_of(stage, "seconds");
  return total > 0 ? share_text(seconds / total) : "";
}

// Whether a layer's row of the profile has this pass.
bool has_pass(const RunFiles& run, const std::string& pass) {
  for (const Json& stage : list_of(run.profile, "stages")) {
    for (const Json& row : list_of(stage, "layers")) {
      const bool is_object = row.is_object() && row.contains("seconds_by_pass");
      if (is_object && number_of(row["seconds_by_pass"], pass) > 0) return true;
    }
  }
  return false;
}

}  // namespace

TextTable op_profile_table(const RunFiles& run) {
  TextTable table{.head = {"op", "stage", "calls", "ms", "share", "GFLOP/s", "of peak"}};
  for (const Json& stage : list_of(run.profile, "stages")) {
    const std::string number = words_of(stage, "stage");
    const double peak = number_of(stage, "peak_flops");
    const auto add = [&](const std::string& name, const Json& row, double seconds) {
      const double rate = seconds > 0 ? number_of(row, "flops") / seconds : 0;
      table.rows.push_back({name, number, words_of(row, "calls"), milliseconds(seconds),
                            share_of(seconds, stage),
                            rate > 0 ? fmt::format("{:.1f}", rate / 1e9) : "",
                            rate > 0 && peak > 0 ? share_text(rate / peak) : ""});
    };
    for (const Json& row : list_of(stage, "ops")) {
      add(words_of(row, "name"), row, number_of(row, "seconds"));
    }
    for (const Json& row : list_of(stage, "waits")) {
      add("wait for " + words_of(row, "name"), row, number_of(row, "seconds"));
    }
    add("other", {}, number_of(stage, "other_seconds"));
    add("total", {}, number_of(stage, "seconds"));
  }
  return table;
}

TextTable layer_profile_table(const RunFiles& run) {
  std::vector<std::string> passes = names_of<Pass>();
  std::erase_if(passes, [&](const std::string& pass) { return !has_pass(run, pass); });
  TextTable table{.head = {"layer", "stage"}};
  for (const std::string& pass : passes) table.head.push_back(pass + ", ms");
  table.head.insert(table.head.end(), {"ms", "share"});
  for (const Json& stage : list_of(run.profile, "stages")) {
    for (const Json& row : list_of(stage, "layers")) {
      const std::string name = words_of(row, "name");
      const Json by_pass = row.is_object() ? row.value("seconds_by_pass", Json()) : Json();
      auto& cells = table.rows.emplace_back(
          std::vector{name.empty() ? "outside of layers" : name, words_of(stage, "stage")});
      for (const std::string& pass : passes) {
        const double seconds = number_of(by_pass, pass);
        cells.push_back(seconds > 0 ? milliseconds(seconds) : "");
      }
      const double seconds = number_of(row, "seconds");
      cells.push_back(milliseconds(seconds));
      cells.push_back(share_of(seconds, stage));
    }
  }
  return table;
}

}  // namespace masformer
