// Running the program as its users do.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace masformer::test {

struct Finished {
  int status = -1;     // exit status; 128 + n where signal n ended it
  std::string output;  // standard output and standard error, as they came
};

// A program at work. Its standard input is empty.
class Process {
 public:
  // `words[0]` is looked for on the PATH. `environment` is added to ours.
  explicit Process(const std::vector<std::string>& words,
                   const std::map<std::string, std::string>& environment = {});
  ~Process();  // kills what still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const;
  // Whether its first thread has started a program of this name that was not waited for yet.
  bool has_child(const std::string& name) const;
  // Waits until it has printed `text`, for 120 s at most.
  void wait_for(const std::string& text);
  // Waits for the end, at most `seconds`; past that the process is killed and status is -1.
  Finished wait(double seconds = 120);

 private:
  using Clock = std::chrono::steady_clock;

  // Adds to printed_; false at the output's end, and where nothing came until the deadline.
  bool read_more(Clock::time_point deadline);

  pid_t pid_;
  int output_;
  std::string printed_;
};

Finished run(const std::vector<std::string>& words,
             const std::map<std::string, std::string>& environment = {});

// The masformer program of this build.
std::string program();

}  // namespace masformer::test
