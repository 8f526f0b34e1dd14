// Where one step's time went on one rank: by kind of op, and by kind of layer and pass.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/op_timer.h"

namespace masformer {

// Totals of calls of one kind.
struct ProfileRow {
  std::string name;
  std::int64_t calls = 0;
  double seconds = 0;
  double flops = 0;                               // of those ops whose FLOPs are known
  std::map<std::string, double> seconds_by_pass;  // "" outside layers
};

// Where a step's time went. Rows are in the order of their first calls.
struct StepProfile {
  double seconds = 0;              // of the step
  std::vector<ProfileRow> ops;     // by name
  std::vector<ProfileRow> layers;  // the same ops, by kind of layer; "" outside layers
  std::vector<ProfileRow> waits;   // waits for other ranks, by name

  double wait_seconds() const;
  // Seconds outside all timed calls: host work between them.
  double other_seconds() const;
};

StepProfile make_profile(const std::vector<TimedCall>& calls, double seconds);

// Two tables for a person: by op, and by layer and pass. In each, the rows add up to the step's
// time. `peak_flops`: the rank's peak FLOP/s.
std::string to_string(const StepProfile& profile, double peak_flops);

// The same for RUN_DIR/profile.json; docs/metrics.md has its keys.
nlohmann::json to_json(const StepProfile& profile);

}  // namespace masformer
