// Filters mpirun's standard error: what a user needs is shown, the rest is dropped.
//
// mpirun frames its own messages with lines of dashes; what its ranks print is between them. Its
// messages say why a job can't be started and which rank a signal ended. But they also call each
// job aborted that did not end with status 0, so a clean stop would read like an accident. mpirun's
// --quiet drops all of them.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

class MpirunMessages {
 public:
  // Adds the next piece of mpirun's standard error. Returns what can be shown now: whole lines and
  // whole messages.
  std::string pass(std::string_view piece);
  // Returns what is still held back at the end of the output.
  std::string rest();
  // From now on, messages about ranks that a stop ends are dropped.
  void expect_stop() { stopping_ = true; }
  // Whether mpirun reported a rank that this signal ended.
  bool told_of_signal(int signal) const;
  // Whether mpirun refused one of its options.
  bool told_of_unknown_option() const { return unknown_option_; }

 private:
  void take_line(const std::string& line, std::string& shown);
  bool is_noise(std::string_view text) const;

  std::string line_;     // an incomplete line
  std::string message_;  // an incomplete message, with its first rule
  std::string told_;     // all messages about signals
  bool unknown_option_ = false;
  bool stopping_ = false;
};

}  // namespace masformer
