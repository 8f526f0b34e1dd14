// Where the times of layers are kept from one start to the next (layer_profile.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "launch/options/options.h"
#include "launch/plan/run_plan.h"
#include "model/cost/measured_times.h"
#include "runtime/stream.h"

namespace masformer {

// What layers are timed on.
struct ProfiledRank {
  std::string device;  // its name, or that of the CPU
  int threads = 1, ranks_on_host = 1;
};

ProfiledRank profiled_rank(const Stream& stream, int ranks_on_host);

// All that the times of `probe`, the plan of what is timed, depend on; the built program, too.
std::string profile_key(const ProfiledRank& rank, const RuntimeOptions& runtime,
                        const RunPlan& probe);

// XDG_CACHE_HOME/masformer, or ~/.cache/masformer; empty if neither variable is set.
std::filesystem::path profile_folder();
// A file in it; empty if there is no such folder.
std::filesystem::path profile_file(const std::string& key);

// By Layer::kind(), as MeasuredTimes takes them; null if there are none for this key.
nlohmann::json read_profile(const std::string& key);
// A cache that can't be written costs the next start some seconds, and nothing else.
void write_profile(const std::string& key, const std::map<std::string, KindSeconds>& seconds);

}  // namespace masformer
