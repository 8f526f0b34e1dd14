// How an op finds its backend: by the device of the stream. A CUDA sibling becomes a second
// candidate here; no caller of an op notices.
#pragma once

#include "runtime/error.h"
#include "runtime/stream.h"

namespace masformer {

// The function that does the work on the stream's device. Throws Error where this build has none.
template <class Op>
Op* backend(const Stream& stream, Op* cpu) {
  require(stream.device() == Device::cpu,
          "this build has no CUDA backend: build where the CUDA toolkit is, or use "
          "runtime.device=cpu");
  return cpu;
}

}  // namespace masformer
