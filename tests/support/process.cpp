#include "tests/support/process.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "runtime/error.h"

namespace masformer::test {
namespace {

[[noreturn]] void become(std::vector<std::string> words,
                         const std::map<std::string, std::string>& environment, int output) {
  setpgid(0, 0);  // so that a kill also reaches what the program started
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  // Tests that call the libraries check for leaks. In each rank of each started program, it would
  // take minutes to separate MPI's own leaks.
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> raw;
  for (std::string& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  execvp(raw[0], raw.data());
  _exit(127);
}

// A child, of the first thread of `parent`, whose file /proc/CHILD/FILE has the entry `text`, where
// entries end with `end`; 0 if there is none.
pid_t child_whose(pid_t parent, const std::string& file, const std::string& text, char end) {
  std::ifstream list(fmt::format("/proc/{0}/task/{0}/children", parent));
  for (pid_t child = 0; list >> child;) {
    std::ifstream stream(fmt::format("/proc/{}/{}", child, file));
    for (std::string entry; std::getline(stream, entry, end);) {
      if (entry == text) return child;
    }
  }
  return 0;
}

}  // namespace

Process::Process(const std::vector<std::string>& words,
                 const std::map<std::string, std::string>& environment) {
  std::array<int, 2> ends{};
  require(pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe can be made");
  pid_ = fork();
  require(pid_ >= 0, "no process can be started");
  if (pid_ == 0) become(words, environment, ends[1]);
  close(ends[1]);
  output_ = ends[0];
}

Process::~Process() {
  if (pid_ > 0) {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
}

void Process::signal(int number) const {
  kill(pid_, number);
}

pid_t Process::child(const std::string& name) const {
  return child_whose(pid_, "comm", name, '\n');
}

pid_t Process::rank(int number) const {
  const pid_t mpirun = child("mpirun");
  const std::string variable = "OMPI_COMM_WORLD_RANK=" + std::to_string(number);
  return mpirun > 0 ? child_whose(mpirun, "environ", variable, '\0') : 0;
}

bool Process::read_more(Clock::time_point deadline) {
  const std::chrono::duration<double, std::milli> left = deadline - Clock::now();
  pollfd descriptor{output_, POLLIN, 0};
  if (left.count() <= 0 || poll(&descriptor, 1, static_cast<int>(left.count()) + 1) == 0) {
    return false;
  }
  std::array<char, 4096> block{};
  const ssize_t count = read(output_, block.data(), block.size());
  if (count > 0) printed_.append(block.data(), static_cast<std::size_t>(count));
  return count > 0;
}

void Process::wait_for(const std::string& text) {
  const auto whole = std::chrono::duration<double>(patience);
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(whole);
  while (printed_.find(text) == std::string::npos && read_more(deadline)) {
  }
}

Finished Process::wait(double seconds) {
  const auto whole = std::chrono::duration<double>(seconds);
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(whole);
  while (read_more(deadline)) {
  }
  if (Clock::now() >= deadline) {
    return {.output = printed_ + "\n[no end in time]"};  // the destructor kills it
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), printed_};
}

Finished run(const std::vector<std::string>& words,
             const std::map<std::string, std::string>& environment) {
  return Process(words, environment).wait();
}

std::vector<Finished> run_all(const std::vector<std::vector<std::string>>& commands) {
  constexpr std::size_t at_once = 4;
  std::deque<Process> running;
  std::vector<Finished> finished;
  const auto finish_first = [&] {
    finished.push_back(running.front().wait());
    running.pop_front();
  };
  for (const auto& words : commands) {
    if (running.size() == at_once) finish_first();
    running.emplace_back(words);
  }
  while (!running.empty()) finish_first();
  return finished;
}

std::string program() {
  const char* const path = std::getenv("MASFORMER_BINARY");
  require(path != nullptr, "MASFORMER_BINARY is not set: run the tests by ctest");
  return path;
}

}  // namespace masformer::test
