// The command line of `masformer run`.
#pragma once

#include <string>
#include <vector>

namespace masformer {

struct RunWords {
  int ranks = 0;
  std::vector<std::string> mpirun;   // further options of mpirun
  std::vector<std::string> program;  // the command that the ranks run, with its arguments
};

// Parses the command line. Accepts mpirun's own options for the number of ranks (-n, --n, -np,
// --np, -c, --c), with the number as the next word, attached (-n2), or after "=". Throws
// UsageError.
RunWords parse_run_words(const std::vector<std::string>& arguments);

}  // namespace masformer
