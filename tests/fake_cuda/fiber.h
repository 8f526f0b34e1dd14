// Stacks between which one host thread switches.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

namespace fake_cuda {

// A stack with a guard page below it that begins `shift` bytes lower than its first page allows:
// fibers that all began at the same place of a page would share a few sets of the caches.
class ShiftedStack {
 public:
  explicit ShiftedStack(std::size_t shift) : shift_(shift) {}

  boost::context::stack_context allocate() {
    boost::context::stack_context stack = whole_.allocate();
    move(stack, shift_);
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) noexcept {
    move(stack, -shift_);
    whole_.deallocate(stack);
  }

 private:
  static constexpr std::size_t bytes = 128 << 10;  // touched pages alone are taken

  static void move(boost::context::stack_context& stack, std::size_t down) {
    stack.sp = static_cast<char*>(stack.sp) - down;
    stack.size -= down;
  }

  boost::context::protected_fixedsize_stack whole_{bytes};
  std::size_t shift_;
};

class Fiber {
 public:
  // The stack on which the program runs anyway.
  Fiber() = default;
  // One on which `body` is called again and again. It stays until the program ends.
  Fiber(void (*body)(), std::size_t stack_shift)
      : rest_(std::allocator_arg, ShiftedStack(stack_shift),
              [body](boost::context::fiber&&) -> boost::context::fiber {
                for (;;) body();
              }) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Called on this one, goes on with `other`; returns when another one switches to this.
  void switch_to(Fiber& other) {
    std::move(other.rest_).resume_with([this](boost::context::fiber&& rest) {
      rest_ = std::move(rest);
      return boost::context::fiber();
    });
  }

 private:
  boost::context::fiber rest_;  // of what it does; empty while it runs
};

}  // namespace fake_cuda
