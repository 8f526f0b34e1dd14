// The commit that the program was built from. cmake/WriteCommit.cmake writes the definition at each
// build. Only the program links it, so that a new commit rebuilds nothing else.
#pragma once

namespace masformer {

// Its abbreviated hash, " (modified)" if tracked files differ from it, or "unknown" outside git.
extern const char* const build_commit;

}  // namespace masformer
