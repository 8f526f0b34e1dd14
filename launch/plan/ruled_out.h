// Why layouts were ruled out, counted.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace masformer {

// A reason for which layouts were ruled out.
struct RuledOut {
  std::string reason;
  int layouts = 0;
};

// Counts messages that differ in their numbers alone as one reason: "parallel.context=16 does not
// divide 8, and the like", without what each then advises after ": ".
class RuledOutReasons {
 public:
  void add(const std::string& message);
  std::vector<RuledOut> list() const;  // the most frequent first

 private:
  struct Reason {
    std::string first;    // the first message
    bool varies = false;  // others have other numbers
    int layouts = 0;
  };
  std::map<std::string, Reason> reasons_;  // by what the messages have in common
};

}  // namespace masformer
