// Where one step's time went on one rank: by kind of op, and by kind of layer and pass.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/op_timer.h"

namespace masformer {

// Calls that are counted together.
struct ProfileRow {
  std::string name;
  std::int64_t calls = 0;
  double seconds = 0;
  double flops = 0;                               // of the ops whose operations are counted
  std::map<std::string, double> seconds_by_pass;  // "" outside of layers
};

// Rows in the order in which their first calls were made.
struct StepProfile {
  double seconds = 0;              // of the step
  std::vector<ProfileRow> ops;     // by name
  std::vector<ProfileRow> layers;  // the same ops, by kind of layer; "" outside of layers
  std::vector<ProfileRow> waits;   // for other ranks, by name

  double wait_seconds() const;
  // In no call: the host's work between calls.
  double other_seconds() const;
};

StepProfile make_profile(const std::vector<TimedCall>& calls, double seconds);

// Two tables for a person: by op, and by layer and pass. In each, the rows add up to the step's
// time. `peak_flops`: FLOP/s of the rank at best.
std::string to_string(const StepProfile& profile, double peak_flops);

}  // namespace masformer
