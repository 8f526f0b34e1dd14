// Whether an object is destroyed because an exception passes: then it waits for nobody.
#pragma once

#include <exception>

namespace masformer {

// A member of the object, or a local variable.
class Unwinding {
 public:
  // An exception passes that was not under way when this was made.
  bool now() const { return std::uncaught_exceptions() > before_; }

 private:
  int before_ = std::uncaught_exceptions();
};

}  // namespace masformer
