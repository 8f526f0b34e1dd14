// The way from an op to its backend. An op's NAME.cpp checks the operands against the contract in
// NAME.h and then calls dispatch(); nobody else calls the ops of a backend's table. So each op that
// any part of the program issues passes through here once, with its name (name_of(op)) and its
// stream: whatever concerns all ops, such as a timer, belongs here. An op that a backend makes of
// other ops counts as one.
#pragma once

#include <utility>

#include "runtime/backend.h"

namespace masformer {
namespace detail {

template <Op op>
inline constexpr auto table_member = nullptr;
#define MASFORMER_TABLE_MEMBER(op) \
  template <>                      \
  inline constexpr auto table_member<Op::op> = &Backend::op;
MASFORMER_OPS(MASFORMER_TABLE_MEMBER)
#undef MASFORMER_TABLE_MEMBER

}  // namespace detail

// Runs `op` on the stream's device. On return it is done on the CPU, and issued on other devices.
template <Op op, class... Operands>
void dispatch(const Stream& stream, Operands&&... operands) {
  (backend(stream).*detail::table_member<op>)(stream, std::forward<Operands>(operands)...);
}

}  // namespace masformer
