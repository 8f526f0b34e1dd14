#include "launch/training/profile_cache.h"

#include <cstdlib>
#include <exception>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/version.h"
#include "runtime/io/replace_file.h"

namespace masformer {
namespace fs = std::filesystem;

namespace {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

}  // namespace

ProfiledRank profiled_rank(const Stream& stream, int ranks_on_host) {
  const DeviceStream* const device = stream.device_stream();
  return {device != nullptr ? device->name() : cpu_name(), stream.threads(), ranks_on_host};
}

std::string profile_key(const ProfiledRank& rank, const RuntimeOptions& runtime,
                        const RunPlan& probe) {
  std::error_code unknown;
  const auto built = fs::last_write_time("/proc/self/exe", unknown).time_since_epoch().count();
  const StagePolicy& policy = probe.policy;
  return fmt::format(
      "{}; {} threads, {} ranks on this host; {}, context {} by {}; {} x {} tokens in {}; hidden "
      "{}, vocabulary {}, {}, MLPs by {}; documents {}; deterministic {}; sequence "
      "parallel {}; transport {}; built {}; {}",
      rank.device, rank.threads, rank.ranks_on_host, probe.mesh.to_string(),
      policy.sharding->to_string(), name_of(policy.context_full), policy.shape.samples,
      policy.shape.sequence, name_of(policy.dtype), probe.model.hidden, probe.model.vocab,
      describe_blocks(probe.model), policy.ffn_block, policy.document_mask, policy.deterministic,
      policy.sequence_parallel, runtime.transport ? name_of(*runtime.transport) : "auto", built,
      version_text(""));
}

fs::path profile_folder() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "masformer";
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache" / "masformer";
  return {};
}

fs::path profile_file(const std::string& key) {
  const fs::path folder = profile_folder();
  if (folder.empty()) return {};
  return folder / fmt::format("layers-{:016x}.json", std::hash<std::string>()(key));
}

nlohmann::json read_profile(const std::string& key) {
  try {
    std::ifstream file(profile_file(key));
    const nlohmann::json cached = nlohmann::json::parse(file);
    if (cached.at("key") == key)
      return cached.at("seconds").get<std::map<std::string, KindSeconds>>();
  } catch (const std::exception&) {  // there is none, or it is damaged: measure again
  }
  return nullptr;
}

void write_profile(const std::string& key, const std::map<std::string, KindSeconds>& seconds) {
  const fs::path path = profile_file(key);
  if (path.empty()) return;
  try {
    fs::create_directories(path.parent_path());
    io::replace_text(path, nlohmann::json{{"key", key}, {"seconds", seconds}}.dump(1) + "\n");
  } catch (const std::exception&) {  // the next start measures again, and nothing else is lost
  }
}

}  // namespace masformer
