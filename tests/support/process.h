// Running the program as its users do.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace masformer::test {

struct Finished {
  int status = -1;     // exit status; 128 + n if signal n ended it
  std::string output;  // standard output and standard error, in order
};

// How long a program may take, in seconds. Sanitizers slow programs down.
#ifdef MASFORMER_SANITIZED
inline constexpr double patience = 600;
#else
inline constexpr double patience = 120;
#endif

// A running program. Its standard input is empty.
class Process {
 public:
  // Searches for `words[0]` on the PATH. `environment` is added to this process's.
  explicit Process(const std::vector<std::string>& words,
                   const std::map<std::string, std::string>& environment = {});
  ~Process();  // kills it if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const;
  // The number of a child of this name that the program's first thread has started and not reaped;
  // 0 if there is none.
  pid_t child(const std::string& name) const;
  // The process of a rank of the job that the program, `masformer run`, has started on this
  // machine; 0 if there is none yet.
  pid_t rank(int number) const;
  bool has_child(const std::string& name) const { return child(name) > 0; }
  // Waits until it has printed `text`, for `patience` at most.
  void wait_for(const std::string& text);
  // Waits for the end, at most `seconds`; after that, status is -1 and the destructor kills it.
  Finished wait(double seconds = patience);

 private:
  using Clock = std::chrono::steady_clock;

  // Adds to printed_. False at the end of the output, or if nothing arrived until the deadline.
  bool read_more(Clock::time_point deadline);

  pid_t pid_;
  int output_;
  std::string printed_;
};

Finished run(const std::vector<std::string>& words,
             const std::map<std::string, std::string>& environment = {});
// Runs them, several at once, for programs that wait more than they compute. In the same order.
std::vector<Finished> run_all(const std::vector<std::vector<std::string>>& commands);

// The masformer program of this build.
std::string program();

}  // namespace masformer::test
