#include "runtime/plugin.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <glob.h>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "runtime/error.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> plugin_folders() {
  if (const char* const named = std::getenv("MASFORMER_PLUGINS")) return {named};
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  return {program, program / "../lib/masformer"};
}

std::optional<fs::path> find_plugin(const std::string& library) {
  for (const fs::path& folder : plugin_folders()) {
    if (fs::exists(folder / library)) return folder / library;
  }
  return std::nullopt;
}

// Where a file of this name may be, as patterns for glob().
std::vector<std::string> patterns(const std::string& name) {
  std::vector<std::string> all;
  for (const char* const variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* const home = std::getenv(variable)) {
      all.push_back(std::string(home) + "/lib64/" + name);
    }
  }
  all.push_back("/usr/local/cuda/lib64/" + name);
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path python = folder + "/python3";
    if (!fs::exists(python)) continue;
    // The environment's own folder, and the one of the installation that it links to.
    for (const fs::path& home : {python, fs::canonical(python)}) {
      all.push_back(home.parent_path().string() + "/../lib/python3*/site-packages/nvidia/*/lib/" +
                    name);
    }
  }
  return all;
}

std::optional<std::string> find_library(const std::string& name) {
  for (const std::string& pattern : patterns(name)) {
    glob_t found{};
    std::optional<std::string> first;
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) first = found.gl_pathv[0];
    globfree(&found);
    if (first) return first;
  }
  return std::nullopt;
}

constexpr const char* searched_folders =
    "; searched: the loader's folders, lib64 of CUDA_HOME, CUDA_PATH and /usr/local/cuda, and "
    "nvidia/*/lib of the Python environments on PATH";

// The library that is missing according to a message of dlopen(), such as "libX.so.1: cannot open
// shared object file".
std::string missing_library(const std::string& message) {
  const auto end = message.find(": cannot open shared object file");
  return end == std::string::npos ? "" : message.substr(0, end);
}

// Opens a library. If the loader does not find a library that it needs, opens that one first by its
// path: the loader then uses the open library of that name.
void* open(const std::string& path, std::set<std::string>& tried) {
  for (;;) {
    if (void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const std::string message = dlerror();
    const std::string missing = missing_library(message);
    const auto found = missing.empty() ? std::nullopt : find_library(missing);
    if (!found || !tried.insert(missing).second) {
      refuse("{} can't be opened: {}{}", path, message, missing.empty() ? "" : searched_folders);
    }
    open(*found, tried);
  }
}

}  // namespace

bool has_plugin(const std::string& library) {
  return find_plugin(library).has_value();
}

void* plugin_symbol(const std::string& library, const std::string& symbol) {
  const auto path = find_plugin(library);
  if (!path) {
    refuse(
        "this build has no {}: build it where the CUDA toolkit is installed (docs/gpu.md), or use "
        "runtime.device=cpu",
        library);
  }
  std::set<std::string> tried;
  void* const found = dlsym(open(*path, tried), symbol.c_str());
  require(found != nullptr, "{} has no {}", path->string(), symbol);
  return found;
}

}  // namespace masformer
