// What `masformer --version` prints.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

// The program's version and commit, the compiler and instruction set, and the libraries in use, one
// line each. Starts neither MPI nor a device, and does not fail if NVIDIA's libraries are missing.
std::string version_text(std::string_view commit);

}  // namespace masformer
