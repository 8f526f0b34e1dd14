// Fibers: stacks between which one host thread switches.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

namespace fake_cuda {

// A stack with a guard page below it. It begins `shift` bytes below the top of its first page:
// fibers that all began at the same offset in a page would compete for a few sets of the caches.
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
  static constexpr std::size_t bytes = 128 << 10;  // only pages that are touched take memory

  static void move(boost::context::stack_context& stack, std::size_t down) {
    stack.sp = static_cast<char*>(stack.sp) - down;
    stack.size -= down;
  }

  boost::context::protected_fixedsize_stack whole_{bytes};
  std::size_t shift_;
};

class Fiber {
 public:
  // The program's own stack.
  Fiber() = default;
  // A fiber that calls `body` repeatedly. It exists until the program ends.
  Fiber(void (*body)(), std::size_t stack_shift)
      : rest_(std::allocator_arg, ShiftedStack(stack_shift),
              [body](boost::context::fiber&&) -> boost::context::fiber {
                for (;;) body();
              }) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Called on this fiber, continues with `other`. Returns when another fiber switches to this one.
  void switch_to(Fiber& other) {
    std::move(other.rest_).resume_with([this](boost::context::fiber&& rest) {
      rest_ = std::move(rest);
      return boost::context::fiber();
    });
  }

 private:
  boost::context::fiber rest_;  // its continuation; empty while it runs
};

}  // namespace fake_cuda
