// What of mpirun's standard error is worth a person's time.
//
// mpirun frames its own messages with rules of dashes, and what its ranks print stands between. It
// tells why a job can't be started and which rank a signal ended, but also, of each job that did
// not end with 0, that it was aborted: a clean stop would read like an accident. `--quiet` keeps
// back all of it.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

class MpirunMessages {
 public:
  // Takes the next piece of what mpirun prints and returns what is to be shown by now: whole lines
  // and whole messages.
  std::string pass(std::string_view piece);
  // What is still held back at the end.
  std::string rest();
  // From here on, ranks that the stop signal ends are no news.
  void expect_stop() { stopping_ = true; }
  // Whether mpirun told of a rank that this signal ended.
  bool told_of_signal(int signal) const;

 private:
  void take_line(const std::string& line, std::string& shown);
  bool is_noise(std::string_view text) const;

  std::string line_;     // begun, without its end
  std::string message_;  // from its first rule on
  std::string told_;     // all that was said of signals
  bool stopping_ = false;
};

}  // namespace masformer
