// The largest value of each kind of integer option. No real run reaches one. They keep the
// arithmetic of a plan within 64 bits (launch/plan/plan_size.h), so a new integer option uses one
// of them or says why it has its own.
#pragma once

#include <cstdint>

namespace masformer::limits {

constexpr std::int64_t ranks = 1 << 15;    // along one axis of the mesh
constexpr std::int64_t threads = 1 << 12;  // per rank; far above it, OpenMP's own stack overflows
constexpr std::int64_t layers = 1 << 12;   // blocks
constexpr std::int64_t width = 1 << 20;    // of a block: hidden, heads; ffn defaults to 4 x hidden
constexpr std::int64_t tokens = 1 << 28;   // in a sample, in the vocabulary
constexpr std::int64_t samples = 1 << 28;  // in a batch
constexpr std::int64_t steps = 1'000'000'000'000;  // and anything else counted in steps or windows

}  // namespace masformer::limits
