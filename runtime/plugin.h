// Parts of the program that need libraries which not every machine has: the CUDA backend, NCCL.
// They are shared libraries that the program opens when it first uses them.
#pragma once

#include <string>

namespace masformer {

// Whether `library` is in one of the folders that plugin_symbol() searches. Opens nothing.
bool has_plugin(const std::string& library);

// Returns the address of `symbol` in `library` ("libmasformer_cuda.so"), and leaves the library
// open. It is searched for in the folder that MASFORMER_PLUGINS names; if that is not set, beside
// the program and in ../lib/masformer from there. Libraries that it needs and the loader does not
// find are searched for in the CUDA toolkit (CUDA_HOME, CUDA_PATH, /usr/local/cuda) and in the
// nvidia/*/lib folders of the Python environments on PATH. Throws UsageError that says what is
// missing.
void* plugin_symbol(const std::string& library, const std::string& symbol);

}  // namespace masformer
