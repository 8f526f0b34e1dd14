// Rows of a table, looked up by id. The table may be a shard of a larger one, its rows [first,
// first + R); ids of other rows look up nothing (vocabulary parallelism, Megatron-LM, arXiv
// 1909.08053, section 3).
#pragma once

#include <cstdint>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = table[ids - first], or zeros for an id outside of the shard; with `accumulate`, y +=
// that. ids [T] int32; table [R, H] and y fp32 or bf16.
void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y);

// dtable[ids - first] += dy for ids in the shard; dy fp32 or bf16, dtable fp32. Tokens are added in
// their order, so the bits do not depend on the number of threads.
void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable);

}  // namespace masformer
