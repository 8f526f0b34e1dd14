// What `masformer --version` prints.
#pragma once

#include <string>
#include <string_view>

namespace masformer {

// "0.1.0"
std::string_view program_version();

// Returns one line each for the program's version and commit, the compiler and instruction set, and
// the libraries in use. Starts neither MPI nor a device, and does not fail if NVIDIA's libraries
// are missing.
std::string version_text(std::string_view commit);

}  // namespace masformer
