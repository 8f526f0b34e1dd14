// Rows of a table, picked by number. A table may be one shard of a larger one: rows [first,
// first + R) of it, and ids of other rows pick nothing (vocabulary parallelism, Megatron-LM, arXiv
// 1909.08053, section 3).
#pragma once

#include <cstdint>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = table[ids - first], zeros where an id lies outside; with `accumulate`, y += it.
// ids [T] int32; table [R, H] and y fp32 or bf16.
void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y);

// dtable[ids - first] += dy, for ids inside; dy fp32 or bf16, dtable fp32; token by token, so
// deterministic for any number of threads.
void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable);

}  // namespace masformer
