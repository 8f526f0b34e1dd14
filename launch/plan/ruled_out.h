// Why layouts were ruled out, counted.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace masformer {

// A reason for which layouts were ruled out. A message says what is wrong, and after ": " how to
// mend it.
struct RuledOut {
  std::string message;  // the first with this reason
  bool varies = false;  // others differ from it
  int layouts = 0;

  // The first message; if others differ, without its advice: "3 does not divide 8, and the like".
  std::string summary() const;
};

// Counts messages as one reason if what is wrong is the same but for numbers.
class RuledOutReasons {
 public:
  void add(const std::string& message);
  std::vector<RuledOut> list() const;  // the most frequent first

 private:
  std::map<std::string, RuledOut> reasons_;  // by what is wrong, without digits
};

}  // namespace masformer
