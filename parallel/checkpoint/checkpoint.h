// A checkpoint is a set of named global tensors. Its shard files hold hyperslabs of them, and its
// manifest says which file holds what. Nothing in it depends on the layout that wrote it.
// docs/checkpoint-format.md describes the format byte by byte.
//
//   RUN_DIR/checkpoints/step-00000100/manifest.json
//                                    /shard-00000.h5 ...
//
// A folder that is not yet committed has another name than step-*.
#pragma once

#include "parallel/checkpoint/directory.h"  // IWYU pragma: export
#include "parallel/checkpoint/manifest.h"   // IWYU pragma: export
#include "parallel/checkpoint/reader.h"     // IWYU pragma: export
#include "parallel/checkpoint/writer.h"     // IWYU pragma: export
