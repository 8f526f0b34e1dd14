// Which program this is, as `masformer --version` and the start of a run say.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

// "0.1.0"
std::string_view program_version();

// The commit that the program was built from: its abbreviated hash, " (modified)" if tracked files
// differ from it, or "unknown" outside git. cmake/WriteCommit.cmake writes the definition at each
// build. Only the program links it, so that a new commit rebuilds nothing else; tests have a weak
// one, "unknown".
std::string_view build_commit();

// Returns one line each for the program's version and commit, the compiler and instruction set, and
// the libraries in use. Starts neither MPI nor a device, and does not fail if NVIDIA's libraries
// are missing.
std::string version_text(std::string_view commit);

}  // namespace masformer
