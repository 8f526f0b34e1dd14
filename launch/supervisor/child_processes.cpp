#include "launch/supervisor/child_processes.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <fmt/format.h>

namespace masformer {
namespace {

namespace fs = std::filesystem;

bool is_alive(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(") ");
  return name_end != std::string::npos && text[name_end + 2] != 'Z';
}

}  // namespace

ChildProcesses children_of(pid_t process) {
  ChildProcesses children;
  std::error_code ended;
  for (fs::directory_iterator thread(fmt::format("/proc/{}/task", process), ended), end;
       !ended && thread != end; thread.increment(ended)) {
    std::ifstream list(thread->path() / "children");
    for (std::string child; list >> child;) {
      children.any = true;
      children.alive = is_alive(child);
      if (children.alive) return children;
    }
  }
  return children;
}

}  // namespace masformer
