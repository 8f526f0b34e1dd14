// Manifests with many tensors and pieces, for tests of how time grows with them.
#pragma once

#include <cstdint>

#include <fmt/format.h>

#include "parallel/checkpoint/manifest.h"

namespace masformer::test {

// `count` tensors, each in two pieces in two files, which is what two tensor ranks write.
inline Manifest many_tensors(int count) {
  Manifest manifest;
  for (int i = 0; i < count; ++i) {
    StoredTensor& tensor = manifest.tensors[fmt::format("transformer.h.{}.mlp.c_fc.weight", i)];
    tensor.shape = {8, 4};
    for (const std::int64_t half : {0, 1}) {
      const std::string file = fmt::format("shard-{:05}.h5", half);
      tensor.pieces.push_back({file, fmt::format("/{}", i), {{4 * half, 0}, {4, 4}}});
      manifest.files[file] = {1, std::string(32, '0')};
    }
  }
  return manifest;
}

}  // namespace masformer::test
