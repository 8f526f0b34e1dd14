// Checkpoints: sets of named global tensors, in shard files that hold hyperslabs of them, and a
// manifest that says what is where. Nothing in one depends on the layout that wrote it. The format
// is described byte by byte in docs/checkpoint-format.md.
//
//   RUN_DIR/checkpoints/step-00000100/manifest.json
//                                    /shard-00000.h5 ...
//
// What is not yet committed has another name than step-*.
#pragma once

#include "parallel/checkpoint/directory.h"  // IWYU pragma: export
#include "parallel/checkpoint/manifest.h"   // IWYU pragma: export
#include "parallel/checkpoint/reader.h"     // IWYU pragma: export
#include "parallel/checkpoint/writer.h"     // IWYU pragma: export
