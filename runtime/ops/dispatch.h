// The way from an op to its backend. An op's NAME.cpp checks the operands against the contract in
// NAME.h and then calls dispatch(); no other code calls the ops of a backend's table. So each op
// that the program issues passes through here once, with its name (name_of(op)) and its stream.
// What concerns all ops, such as the timer, belongs here. An op that a backend composes of other
// ops counts as one.
#pragma once

#include <utility>

#include "runtime/backend.h"
#include "runtime/op_timer.h"
#include "runtime/ops/op_flops.h"

namespace masformer {
namespace detail {

template <Op op>
inline constexpr auto table_member = nullptr;
#define MASFORMER_TABLE_MEMBER(op, ...) \
  template <>                           \
  inline constexpr auto table_member<Op::op> = &Backend::op;
MASFORMER_OPS(MASFORMER_TABLE_MEMBER)
#undef MASFORMER_TABLE_MEMBER

}  // namespace detail

// Runs `op` on the stream's device; times it if the stream has a timer. On return the op is done on
// the CPU, or issued on other devices.
template <Op op, class... Operands>
void dispatch(const Stream& stream, Operands&&... operands) {
  OpTimer* const timer = stream.timer();
  if (timer != nullptr) timer->begin_call(name_of(op), CallKind::op, op_flops<op>(operands...));
  (backend(stream).*detail::table_member<op>)(stream, std::forward<Operands>(operands)...);
  if (timer != nullptr) timer->end_call();
}

}  // namespace masformer
