// Whether an object is destroyed by stack unwinding: then its destructor must not wait for others.
#pragma once

#include <exception>

namespace masformer {

// A member of the object, or a local variable.
class Unwinding {
 public:
  // Whether an exception is in flight that was not when this object was made.
  bool now() const { return std::uncaught_exceptions() > before_; }

 private:
  int before_ = std::uncaught_exceptions();
};

}  // namespace masformer
