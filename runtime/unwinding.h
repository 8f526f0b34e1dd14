// Tells a destructor whether it runs during stack unwinding: then it must not wait for other ranks.
#pragma once

#include <exception>

namespace masformer {

// Make it a member of the object, or a local variable.
class Unwinding {
 public:
  // Whether an exception is in flight that was thrown after this object was made.
  bool now() const { return std::uncaught_exceptions() > before_; }

 private:
  int before_ = std::uncaught_exceptions();
};

}  // namespace masformer
