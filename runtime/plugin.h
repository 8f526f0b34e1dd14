// Parts of the program that it opens when it needs them, since they stand on libraries that not
// every machine has: the CUDA backend, NCCL.
#pragma once

#include <string>

namespace masformer {

// Whether `library` is in one of the folders that plugin_symbol() searches. Opens nothing.
bool has_plugin(const std::string& library);

// The address of `symbol` in `library`, "libmasformer_cuda.so", which stays open. It is looked for
// in the folder that MASFORMER_PLUGINS names, or else beside the program and in ../lib/masformer
// from there; libraries that it needs and the loader doesn't find, in the CUDA toolkit (CUDA_HOME,
// /usr/local/cuda) and in the nvidia/*/lib folders of the Python environments on PATH. Throws
// UsageError that says what was missing.
void* plugin_symbol(const std::string& library, const std::string& symbol);

}  // namespace masformer
