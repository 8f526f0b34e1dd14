// A function on a stack of its own that runs until it pauses, and goes on from there.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

namespace cuda_double {

class Fiber {
 public:
  // `body` is called again and again, and must pause. A fiber is never destroyed while it is
  // inside.
  explicit Fiber(void (*body)())
      : inside_(std::allocator_arg, boost::context::protected_fixedsize_stack(stack_bytes),
                [this, body](boost::context::fiber&& outside) -> boost::context::fiber {
                  outside_ = std::move(outside);
                  for (;;) body();
                }) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Called from outside; returns when the body pauses.
  void resume() { inside_ = std::move(inside_).resume(); }
  // Called from inside.
  void pause() { outside_ = std::move(outside_).resume(); }

 private:
  static constexpr std::size_t stack_bytes = 128 << 10;  // touched pages alone are taken
  boost::context::fiber outside_, inside_;
};

}  // namespace cuda_double
